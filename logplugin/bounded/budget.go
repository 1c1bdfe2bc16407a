// Package bounded runs what users write, templates and regular expressions, within a budget of steps, time and memory.
//
// Use it for every text of a container's options that is a program: a tag, the name of a stream, the value of a label,
// labels-regex. The standard library can stop neither a template nor a regular expression from outside, so the budget is
// held from inside: Render counts every step that a template takes, Pattern bounds the program that a match runs.
//
// An error is one line without the option's name. It never shows a value that a template works on.
package bounded

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/shared/fault"
)

// The budget of one call.
const (
	MaxSteps = 100_000               // of a template
	MaxTime  = 10 * time.Millisecond // of processor time
	MaxText  = 4 << 10               // bytes of a template's result

	maxTemplate = 16 << 10 // bytes of a template's own text
	maxValue    = 64 << 10 // bytes of a text that a template makes on the way
	maxDepth    = 100      // templates that are open at once
	stepBytes   = 64       // bytes that are looked at in one step
)

// BudgetError says which part of the budget was used up.
type BudgetError struct{ text string }

// Error returns one line.
func (e *BudgetError) Error() string { return e.text }

var (
	errSteps = &BudgetError{fmt.Sprintf("the template takes more than %d steps", MaxSteps)}
	errTime  = &BudgetError{fmt.Sprintf("it takes more than %d ms of processor time", MaxTime.Milliseconds())}
	errText  = &BudgetError{fmt.Sprintf("the template gives more than %d bytes", MaxText)}
	errValue = &BudgetError{fmt.Sprintf("a text inside the template gets longer than %d bytes", maxValue)}
	errDepth = &BudgetError{fmt.Sprintf("more than %d templates call each other", maxDepth)}
)

// oneLine returns the *BudgetError in err, or err in one line.
func oneLine(err error) error {
	if over, ok := errors.AsType[*BudgetError](err); ok {
		return over
	}
	return errors.New(fault.OneLine(err.Error()))
}

// stopwatch measures the processor time of the calling thread, so that a busy machine takes nothing from the budget. The
// goroutine must stay on its thread meanwhile.
type stopwatch struct{ start time.Duration }

func startWatch() stopwatch { return stopwatch{threadTime()} }

func (w stopwatch) over() bool { return threadTime()-w.start > MaxTime }

func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0 // every Linux has this clock; the steps still count
	}
	return time.Duration(t.Nano())
}
