package config

import (
	"fmt"

	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/registryhost"
)

// Error is one mistake in the configuration.
type Error struct {
	Origin
	What string // what is wrong there
	Fix  string // what to do about it; may be empty
	Err  error  // the error of the operating system, for errors.Is; may be nil

	scope *scope
}

// Error returns one line: place, mistake, remedy.
func (e *Error) Error() string {
	s := e.Origin.String() + ": " + e.What
	if e.Fix != "" {
		s += "; " + e.Fix
	}
	return fault.OneLine(s)
}

// Unwrap returns the underlying error.
func (e *Error) Unwrap() error { return e.Err }

// Concerns reports whether the configuration may have a rule for n's host, as far as its text can be read in spite of the
// mistake. Where it cannot have one, n is to be answered as a registry without a rule; where it may, with this error:
// to answer "not found" there would turn a typing mistake into an anonymous pull.
//
// Paths do not count. A file that could not be read may speak of every host.
func (e *Error) Concerns(n registryhost.Name) bool { return e.scope == nil || e.scope.has(n) }

// NotFound is the answer for a registry that e does not concern, as far as the text can be read in spite of the mistake.
func (e *Error) NotFound() NotFound {
	if e.scope == nil || e.scope.notFound == "" {
		return NotFoundError
	}
	return e.scope.notFound
}

func (e *Error) scoped(sources []source) *Error {
	e.scope = &scope{}
	for _, s := range sources {
		e.scope.add(s)
	}
	return e
}

// fail builds an error at o.
func fail(o Origin, fix, format string, args ...any) *Error {
	return &Error{Origin: o, What: fmt.Sprintf(format, args...), Fix: fix}
}
