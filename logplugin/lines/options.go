// Package lines decides what becomes of a container's lines on their way from the spool to the encoder.
//
// Use it for the options that are the same for every router: which lines are one event, which are sent, and how many in
// a second. Options.Compile reads them, Rules.Flow makes
// what a session needs of them. It promises that every line is either emitted or counted, and that nothing is allocated per
// line. It does not change what is in the spool: docker logs shows every line as it was written.
package lines

import (
	"fmt"

	"github.com/secretref/secretref/logplugin/bounded"
)

// The names of the options.
const (
	IncludePattern   = "include-pattern"
	ExcludePattern   = "exclude-pattern"
	MultilinePattern = "multiline-pattern"
	MaxRate          = "max-rate"
	MaxRateMode      = "max-rate-mode"
)

// Names returns the names of the options.
func Names() []string {
	return []string{IncludePattern, ExcludePattern, MultilinePattern, MaxRate, MaxRateMode}
}

// IsPattern reports whether the option of that name is a regular expression, in which every blank counts.
func IsPattern(name string) bool {
	return name == IncludePattern || name == ExcludePattern || name == MultilinePattern
}

// Options are the options of one container as they were written. The zero value sends every line.
type Options struct {
	IncludePattern   string `json:"includePattern,omitempty"`   // a regular expression that a line must match; "" means any line
	ExcludePattern   string `json:"excludePattern,omitempty"`   // one that it must not match; "" means none
	MultilinePattern string `json:"multilinePattern,omitempty"` // one that the first line of an event matches; "" means that each line is an event
	MaxRate          string `json:"maxRate,omitempty"`          // lines or bytes a second; "" means no limit
	MaxRateMode      string `json:"maxRateMode,omitempty"`      // what becomes of the others: keep, which "" means too, or drop
}

// Read takes the options of this package out of all that are given.
func Read(given map[string]string) Options {
	return Options{
		IncludePattern: given[IncludePattern], ExcludePattern: given[ExcludePattern], MultilinePattern: given[MultilinePattern],
		MaxRate: given[MaxRate], MaxRateMode: given[MaxRateMode],
	}
}

// Rules are Options in a form that can be applied. The zero value sends every line.
type Rules struct {
	include, exclude, multiline *bounded.Pattern // nil means that the option is not given
	rate                        rate
}

// Compile checks the options. Its error names the option, in one line.
func (o Options) Compile() (Rules, error) {
	var r Rules
	for _, x := range []struct {
		name, text string
		to         **bounded.Pattern
	}{{IncludePattern, o.IncludePattern, &r.include}, {ExcludePattern, o.ExcludePattern, &r.exclude}, {MultilinePattern, o.MultilinePattern, &r.multiline}} {
		if x.text == "" {
			continue
		}
		p, err := bounded.Compile(x.text)
		if err != nil {
			return Rules{}, fmt.Errorf("log-opt %s: %w", x.name, err)
		}
		*x.to = p
	}
	var err error
	r.rate, err = parseRate(o.MaxRate, o.MaxRateMode)
	return r, err
}
