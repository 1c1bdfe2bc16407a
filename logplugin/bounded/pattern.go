package bounded

import (
	"errors"
	"fmt"
	"iter"
	"regexp"
	"regexp/syntax"
	"runtime"

	"github.com/secretref/secretref/shared/fault"
)

const (
	maxPattern = 1 << 10 // bytes of a regular expression
	maxProgram = 1000    // instructions that it becomes; repetitions multiply them
	maxMatch   = 1 << 20 // instructions times bytes of one match, which takes at most about as many steps
	maxLine    = 4 << 20 // the same for a line of a container
)

// Pattern is a regular expression in Go's syntax.
type Pattern struct {
	re   *regexp.Regexp
	size int // instructions
}

// Compile reads a regular expression. It is refused when its program, repetitions written out, is too large.
func Compile(text string) (*Pattern, error) {
	if len(text) > maxPattern {
		return nil, &BudgetError{fmt.Sprintf("the regular expression is longer than %d bytes", maxPattern)}
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, errors.New(fault.OneLine(err.Error()))
	}
	size := instructions(tree)
	if size > maxProgram {
		return nil, &BudgetError{fmt.Sprintf("the regular expression becomes more than %d instructions; use smaller repetitions", maxProgram)}
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, errors.New(fault.OneLine(err.Error()))
	}
	return &Pattern{re, max(size, 1)}, nil
}

// instructions returns about how many instructions re becomes, or more than maxProgram.
func instructions(re *syntax.Regexp) int {
	n := 1
	if re.Op == syntax.OpLiteral {
		n = len(re.Rune)
	}
	for _, sub := range re.Sub {
		n += instructions(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max, 1)
	}
	return min(n, maxProgram+1)
}

// Names calls pick with those of names that contain a match, as long as the budget of time lasts.
func (p *Pattern) Names(names iter.Seq[string], pick func(string)) error {
	runtime.LockOSThread() // for the stopwatch
	defer runtime.UnlockOSThread()
	watch := startWatch()
	for name := range names {
		if len(name)*p.size > maxMatch {
			return &BudgetError{fmt.Sprintf("a name has %d bytes, and this regular expression can look at %d; use a shorter one", len(name), maxMatch/p.size)}
		}
		if p.re.MatchString(name) {
			pick(name)
		}
		if watch.over() {
			return errTime
		}
	}
	return nil
}

// Match reports whether line contains a match. Of a line for which the pattern would take too many steps it looks at the
// beginning: at 4 KiB with the largest pattern, at 400 KiB with a pattern of ten instructions. It allocates nothing.
func (p *Pattern) Match(line []byte) bool { return p.re.Match(line[:min(len(line), maxLine/p.size)]) }
