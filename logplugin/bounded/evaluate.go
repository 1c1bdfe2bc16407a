package bounded

import (
	"fmt"
	"reflect"
	"strings"
	"text/template/parse"
)

// operands are what a function or a method gets: nodes that are still to be evaluated, and the value that a pipeline
// hands on, which comes last.
type operands struct {
	nodes []parse.Node
	last  *reflect.Value // nil in the first command of a pipeline
}

func (o operands) len() int {
	if o.last != nil {
		return len(o.nodes) + 1
	}
	return len(o.nodes)
}

// pipeline evaluates commands, each with the value of the one before.
func (s *scope) pipeline(dot reflect.Value, p *parse.PipeNode) (v reflect.Value) {
	if p == nil {
		return v
	}
	for i, c := range p.Cmds {
		o := operands{nodes: c.Args[1:]}
		if i > 0 {
			before := v
			o.last = &before
		}
		v = s.first(dot, c.Args[0], o)
		if v.Kind() == reflect.Interface && v.NumMethod() == 0 {
			v = v.Elem()
		}
	}
	s.e.charge(1 + measure(v, MaxSteps*stepBytes).bytes/stepBytes)
	for _, d := range p.Decl {
		if p.IsAssign {
			s.assign(d, v)
		} else {
			s.vars = append(s.vars, variable{d.Ident[0], v})
		}
	}
	return v
}

// first evaluates the first word of a command.
func (s *scope) first(dot reflect.Value, n parse.Node, o operands) reflect.Value {
	switch n := n.(type) {
	case *parse.FieldNode:
		return s.fields(dot, dot, n, n.Ident, o)
	case *parse.ChainNode:
		if _, ok := n.Node.(*parse.NilNode); ok {
			s.fail(n, "indirection through explicit nil in %s", n)
		}
		return s.fields(dot, s.operand(dot, n.Node), n, n.Field, o)
	case *parse.VariableNode:
		if v := s.variable(n).value; len(n.Ident) > 1 {
			return s.fields(dot, v, n, n.Ident[1:], o)
		}
	case *parse.IdentifierNode:
		return s.function(dot, n, o)
	case *parse.NilNode:
		s.fail(n, "nil is not a command")
	}
	if o.len() > 0 {
		s.fail(n, "can't give argument to non-function %s", n)
	}
	return s.operand(dot, n)
}

// operand evaluates a node that stands alone.
func (s *scope) operand(dot reflect.Value, n parse.Node) reflect.Value {
	switch n := n.(type) {
	case *parse.DotNode:
		return dot
	case *parse.NilNode:
		return reflect.Value{}
	case *parse.PipeNode:
		return s.pipeline(dot, n)
	case *parse.BoolNode:
		return reflect.ValueOf(n.True)
	case *parse.StringNode:
		return reflect.ValueOf(n.Text)
	case *parse.NumberNode:
		return s.number(n)
	case *parse.VariableNode:
		if len(n.Ident) == 1 {
			return s.variable(n).value
		}
	case *parse.FieldNode, *parse.ChainNode, *parse.IdentifierNode:
	default:
		s.fail(n, "can't evaluate command %q", n)
	}
	return s.first(dot, n, operands{})
}

// number returns a constant with the type that it has in Go where nothing asks for one.
func (s *scope) number(n *parse.NumberNode) reflect.Value {
	hex := len(n.Text) > 1 && n.Text[0] == '0' && (n.Text[1] == 'x' || n.Text[1] == 'X') && !strings.ContainsAny(n.Text, "pP")
	switch {
	case n.IsComplex:
		return reflect.ValueOf(n.Complex128)
	case n.IsFloat && !hex && n.Text[0] != '\'' && strings.ContainsAny(n.Text, ".eEpP"):
		return reflect.ValueOf(n.Float64)
	case n.IsInt:
		return reflect.ValueOf(int(n.Int64))
	}
	s.fail(n, "integer overflow: %s", n)
	return reflect.Value{}
}

// fields follows a path of fields. The last of them may be a method with arguments.
func (s *scope) fields(dot, v reflect.Value, at parse.Node, path []string, o operands) reflect.Value {
	for i, name := range path {
		if i < len(path)-1 {
			v = s.field(dot, v, at, name, operands{})
		} else {
			v = s.field(dot, v, at, name, o)
		}
	}
	return v
}

// field returns a field, what a method returns, or the element of a map.
func (s *scope) field(dot, of reflect.Value, at parse.Node, name string, o operands) reflect.Value {
	if !of.IsValid() {
		return of
	}
	v, isNil := indirect(of)
	if isNil {
		s.fail(at, "nil pointer evaluating %s.%s", of.Type(), name)
	}
	if f, ok := s.e.method(of, v, name); ok {
		return s.call(dot, at, name, f, o, false)
	}
	switch v.Kind() {
	case reflect.Struct:
		f, ok := v.Type().FieldByName(name)
		switch {
		case !ok:
		case !f.IsExported():
			s.fail(at, "%s is an unexported field of struct type %s", name, of.Type())
		case o.len() > 0:
			s.fail(at, "%s has arguments but cannot be invoked as function", name)
		default:
			return v.FieldByIndex(f.Index)
		}
	case reflect.Map:
		if v.Type().Key() != reflect.TypeFor[string]() {
			break
		}
		if o.len() > 0 {
			s.fail(at, "%s is not a method but has arguments", name)
		}
		return v.MapIndex(reflect.ValueOf(name))
	}
	s.fail(at, "can't evaluate field %s in type %s", name, of.Type())
	return reflect.Value{}
}

// method returns a method of the data, or of a time in it.
func (e *execution) method(of, v reflect.Value, name string) (reflect.Value, bool) {
	if of.Kind() == reflect.Pointer && of.Type() == reflect.TypeOf(e.root) {
		f, ok := e.root.Methods()[name]
		return reflect.ValueOf(f), ok
	}
	return methodOfTime(v, name)
}

func (s *scope) function(dot reflect.Value, n *parse.IdentifierNode, o operands) reflect.Value {
	if f, ok := functions[n.Ident]; ok {
		return s.call(dot, n, n.Ident, reflect.ValueOf(f), o, true)
	}
	f := builtins[n.Ident]
	if got := o.len(); got < f.least || f.most > 0 && got > f.most {
		s.fail(n, "wrong number of args for %s: got %d", n.Ident, got)
	}
	var args []reflect.Value
	for _, node := range o.nodes {
		v := s.operand(dot, node)
		if f.ends != nil && f.ends(v) {
			return v
		}
		args = append(args, v)
	}
	if o.last != nil {
		args = append(args, *o.last)
	}
	s.e.charge(1)
	if f.ends != nil { // nothing has ended it, so the last one is its value
		return args[len(args)-1]
	}
	v, err := f.f(args)
	if err != nil {
		s.fail(n, "error calling %s: %w", n.Ident, err)
	}
	return v
}

// call calls a function of Go. Long texts are refused where it makes texts of its arguments.
func (s *scope) call(dot reflect.Value, at parse.Node, name string, f reflect.Value, o operands, makesText bool) reflect.Value {
	t := f.Type()
	fixed := t.NumIn()
	if t.IsVariadic() {
		fixed--
	}
	if got := o.len(); got < fixed || got > fixed && !t.IsVariadic() {
		s.fail(at, "wrong number of args for %s: want %d got %d", name, fixed, got)
	}
	parameter := func(i int) reflect.Type {
		if i < fixed {
			return t.In(i)
		}
		return t.In(fixed).Elem()
	}
	var args []reflect.Value
	for i, n := range o.nodes {
		args = append(args, s.argument(dot, n, parameter(i)))
	}
	if o.last != nil {
		args = append(args, s.assignable(at, *o.last, parameter(len(args))))
	}
	s.e.chargeText(args, makesText)
	v, err := protected(f, args)
	if err != nil {
		s.fail(at, "error calling %s: %w", name, err)
	}
	s.e.chargeText([]reflect.Value{v}, makesText)
	return v
}

// protected calls f, and returns a panic in it as an error: some of package time's methods panic.
func protected(f reflect.Value, args []reflect.Value) (v reflect.Value, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	results := f.Call(args)
	if len(results) > 1 && !results[1].IsNil() {
		failed, _ := reflect.TypeAssert[error](results[1])
		return v, failed
	}
	return results[0], nil
}

func (m *meter) chargeText(values []reflect.Value, refuse bool) {
	steps := 1
	for _, v := range values {
		bytes := measure(v, maxValue).bytes
		if refuse && bytes > maxValue {
			panic(errValue)
		}
		steps += bytes / stepBytes
	}
	m.charge(steps)
}

// argument evaluates a node for a parameter. A constant takes the parameter's type.
func (s *scope) argument(dot reflect.Value, n parse.Node, t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	switch c := n.(type) {
	case *parse.NilNode:
		if !canBeNil(t) {
			s.fail(n, "cannot assign nil to %s", t)
		}
		return v
	case *parse.BoolNode, *parse.StringNode:
	case *parse.NumberNode:
		switch {
		case v.CanInt() && c.IsInt:
			v.SetInt(c.Int64)
			return v
		case v.CanUint() && c.IsUint:
			v.SetUint(c.Uint64)
			return v
		case v.CanFloat() && c.IsFloat:
			v.SetFloat(c.Float64)
			return v
		case t.Kind() != reflect.Interface:
			s.fail(n, "expected %s; found %s", t, n)
		}
	}
	return s.assignable(n, s.operand(dot, n), t)
}

// assignable returns v, or what it points to, as a value that a parameter takes.
func (s *scope) assignable(at parse.Node, v reflect.Value, t reflect.Type) reflect.Value {
	switch {
	case !v.IsValid() && canBeNil(t):
		return reflect.Zero(t)
	case !v.IsValid():
		s.fail(at, "invalid value; expected %s", t)
	case v.Type().AssignableTo(t):
	case v.Kind() == reflect.Pointer && !v.IsNil() && v.Type().Elem().AssignableTo(t):
		return v.Elem()
	default:
		s.fail(at, "wrong type for value; expected %s; got %s", t, v.Type())
	}
	return v
}

func canBeNil(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.Interface, reflect.Map, reflect.Pointer, reflect.Slice:
		return true
	}
	return false
}
