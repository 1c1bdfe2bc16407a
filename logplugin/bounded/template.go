package bounded

import (
	"bytes"
	"fmt"
	"runtime"
	"text/template/parse"
)

// Data is what a template works on: a pointer to a struct, whose exported fields it sees, and methods. It must hold
// nothing that a template may not show, no function and no channel.
//
// A template runs here without package text/template's Execute, which looks methods up by names that are known at run
// time only. A program with such a call keeps every exported method of every type that it links: three megabytes in
// this one. TestRenderAsTextTemplate holds both to the same results.
type Data interface {
	// Methods returns the methods that a template may call, by name. They must take time in proportion to what they
	// return.
	Methods() map[string]any
}

// Render executes a template with the functions of Docker's templates.
func Render(text string, data Data) (string, error) {
	if len(text) > maxTemplate {
		return "", &BudgetError{fmt.Sprintf("the template is longer than %d bytes", maxTemplate)}
	}
	runtime.LockOSThread() // for the stopwatch
	defer runtime.UnlockOSThread()
	m := meter{watch: startWatch()}
	trees, err := parse.Parse(rootName, text, "", "", functions, builtinNames)
	if err != nil {
		return "", oneLine(fmt.Errorf("template: %w", err))
	}
	e := execution{meter: m, trees: trees, root: data}
	if err := e.run(); err != nil {
		return "", oneLine(err)
	}
	return e.out.String(), nil
}

// rootName is how a template calls the whole of itself.
const rootName = "text"

// result takes at most MaxText bytes.
type result struct{ bytes.Buffer }

func (w *result) Write(p []byte) (int, error) {
	if w.Len()+len(p) > MaxText {
		return 0, errText
	}
	return w.Buffer.Write(p)
}

// meter counts what one execution has used.
type meter struct {
	watch stopwatch
	steps int
}

// charge takes steps from the budget. It panics when that is used up, and run returns the panic's value as an error.
func (m *meter) charge(steps int) {
	before := m.steps
	m.steps += steps
	switch {
	case m.steps > MaxSteps:
		panic(errSteps)
	case m.steps>>4 != before>>4 && m.watch.over(): // reading the clock costs as much as a few steps
		panic(errTime)
	}
}
