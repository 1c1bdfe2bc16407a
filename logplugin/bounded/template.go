package bounded

import (
	"bytes"
	"fmt"
	"reflect"
	"runtime"
	"text/template"
	"text/template/parse"
)

// Render executes a template with the functions of Docker's templates. Data must hold nothing that a template may not
// show, and its methods must take time in proportion to what they return.
func Render(text string, data any) (string, error) {
	if len(text) > maxTemplate {
		return "", &BudgetError{fmt.Sprintf("the template is longer than %d bytes", maxTemplate)}
	}
	runtime.LockOSThread() // for the stopwatch
	defer runtime.UnlockOSThread()
	m := &meter{watch: startWatch()}
	t, err := template.New("text").Funcs(m.functions()).Parse(text)
	if err != nil {
		return "", oneLine(err)
	}
	for _, x := range t.Templates() {
		instrument(x.Root)
	}
	// Added after Parse, so that no template can name them.
	t.Funcs(template.FuncMap{enter: m.enter, leave: m.leave, step: m.step, checked: m.checked})
	var out result
	if err := t.Execute(&out, data); err != nil {
		return "", oneLine(err)
	}
	return out.String(), nil
}

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
	depth int
}

// charge takes steps from the budget. It panics when that is used up: package template turns a function's panic into
// the error of the execution.
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

func (m *meter) step() string {
	m.charge(1)
	return ""
}

func (m *meter) enter() string {
	if m.depth++; m.depth > maxDepth {
		panic(errDepth)
	}
	return m.step()
}

func (m *meter) leave() string {
	m.depth--
	return ""
}

// checked passes the value of a pipeline on.
func (m *meter) checked(v reflect.Value) reflect.Value {
	m.charge(1 + measure(v, MaxSteps*stepBytes).bytes/stepBytes)
	return v
}

// Names of the functions that instrument puts into a template.
const (
	enter   = "secretref_enter"
	leave   = "secretref_leave"
	step    = "secretref_step"
	checked = "secretref_checked"
)

// instrument makes a template count its steps: on entry, at the start of every list of nodes, which a loop walks once
// per round, and at the end of every pipeline.
func instrument(list *parse.ListNode) {
	instrumentList(list)
	list.Nodes = append([]parse.Node{action(enter)}, append(list.Nodes, action(leave))...)
}

func instrumentList(list *parse.ListNode) {
	if list == nil {
		return
	}
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.ActionNode:
			instrumentPipe(n.Pipe)
		case *parse.TemplateNode:
			instrumentPipe(n.Pipe)
		case *parse.IfNode:
			instrumentBranch(&n.BranchNode)
		case *parse.WithNode:
			instrumentBranch(&n.BranchNode)
		case *parse.RangeNode:
			instrumentBranch(&n.BranchNode)
		}
	}
	list.Nodes = append([]parse.Node{action(step)}, list.Nodes...)
}

func instrumentBranch(n *parse.BranchNode) {
	instrumentPipe(n.Pipe)
	instrumentList(n.List)
	instrumentList(n.ElseList)
}

// instrumentPipe checks what a pipeline gives, and the pipelines in parentheses within it.
func instrumentPipe(pipe *parse.PipeNode) {
	if pipe == nil {
		return
	}
	for _, command := range pipe.Cmds {
		for _, arg := range command.Args {
			instrumentArgument(arg)
		}
	}
	pipe.Cmds = append(pipe.Cmds, call(checked))
}

func instrumentArgument(arg parse.Node) {
	switch arg := arg.(type) {
	case *parse.PipeNode:
		instrumentPipe(arg)
	case *parse.ChainNode:
		instrumentArgument(arg.Node)
	}
}

func call(name string) *parse.CommandNode {
	return &parse.CommandNode{NodeType: parse.NodeCommand, Args: []parse.Node{parse.NewIdentifier(name)}}
}

func action(name string) *parse.ActionNode {
	pipe := &parse.PipeNode{NodeType: parse.NodePipe, Cmds: []*parse.CommandNode{call(name)}}
	return &parse.ActionNode{NodeType: parse.NodeAction, Pipe: pipe}
}
