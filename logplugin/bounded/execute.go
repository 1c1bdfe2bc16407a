package bounded

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"text/template/parse"
)

// execution is one run of a template and of those that it defines.
type execution struct {
	meter
	trees map[string]*parse.Tree
	root  Data
	out   result
	depth int
}

// scope is what one template sees.
type scope struct {
	e    *execution
	tree *parse.Tree
	vars []variable // the innermost is the last
}

type variable struct {
	name  string
	value reflect.Value
}

// failure is the panic that ends an execution with an error.
type failure struct{ err error }

// flow says how a list of nodes has ended.
type flow int

const (
	done flow = iota
	breaking
	continuing
)

// run writes the result of the whole template.
func (e *execution) run() (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case failure:
			err = p.err
		case *BudgetError:
			err = p
		default:
			panic(p)
		}
	}()
	e.template(e.trees[rootName], reflect.ValueOf(e.root))
	return nil
}

// template executes one template. It sees no variable of its caller.
func (e *execution) template(t *parse.Tree, dot reflect.Value) {
	if e.depth++; e.depth > maxDepth {
		panic(errDepth)
	}
	e.charge(1)
	s := &scope{e: e, tree: t, vars: []variable{{"$", dot}}}
	s.list(dot, t.Root)
	e.depth--
}

// fail ends the execution with what is wrong at a node.
func (s *scope) fail(at parse.Node, format string, args ...any) {
	where, what := s.tree.ErrorContext(at)
	panic(failure{fmt.Errorf("template: %s: executing %q at <%s>: %w", where, s.tree.Name, what, fmt.Errorf(format, args...))})
}

func (s *scope) list(dot reflect.Value, list *parse.ListNode) flow {
	if list == nil {
		return done
	}
	s.e.charge(1)
	for _, n := range list.Nodes {
		if f := s.node(dot, n); f != done {
			return f
		}
	}
	return done
}

func (s *scope) node(dot reflect.Value, n parse.Node) flow {
	switch n := n.(type) {
	case *parse.TextNode:
		s.write(n.Text)
	case *parse.ActionNode:
		if v := s.pipeline(dot, n.Pipe); len(n.Pipe.Decl) == 0 {
			s.print(n, v)
		}
	case *parse.IfNode:
		return s.branch(dot, &n.BranchNode, false)
	case *parse.WithNode:
		return s.branch(dot, &n.BranchNode, true)
	case *parse.RangeNode:
		return s.loop(dot, n)
	case *parse.TemplateNode:
		t := s.e.trees[n.Name]
		if t == nil {
			s.fail(n, "template %q not defined", n.Name)
		}
		s.e.template(t, s.pipeline(dot, n.Pipe))
	case *parse.BreakNode:
		return breaking
	case *parse.ContinueNode:
		return continuing
	case *parse.CommentNode:
	default:
		s.fail(n, "unknown node: %s", n)
	}
	return done
}

func (s *scope) write(p []byte) {
	if _, err := s.e.out.Write(p); err != nil {
		panic(failure{err})
	}
}

// print writes a value as package fmt does, and what is missing as text/template does.
func (s *scope) print(at parse.Node, v reflect.Value) {
	shown, ok := printable(v)
	if !ok {
		s.fail(at, "can't print %s of type %s", at, v.Type())
	}
	if _, err := fmt.Fprint(&s.e.out, shown); err != nil {
		panic(failure{err})
	}
}

// branch executes an if or a with. Variables of the condition end with it.
func (s *scope) branch(dot reflect.Value, n *parse.BranchNode, with bool) flow {
	defer s.forget(len(s.vars))
	v := s.pipeline(dot, n.Pipe)
	switch {
	case !truth(v):
		return s.list(dot, n.ElseList)
	case with:
		return s.list(v, n.List)
	}
	return s.list(dot, n.List)
}

// forget ends the variables that were declared since there were n.
func (s *scope) forget(n int) { s.vars = s.vars[:n] }

// loop executes a range.
func (s *scope) loop(dot reflect.Value, n *parse.RangeNode) flow {
	defer s.forget(len(s.vars))
	over, _ := indirect(s.pipeline(dot, n.Pipe))
	inner := len(s.vars)
	rounds := 0
	// round executes the body once, and reports whether there may be another.
	round := func(key, element reflect.Value) (more bool) {
		rounds++
		s.setLoopVariables(n.Pipe, key, element)
		f := s.list(element, n.List)
		s.forget(inner)
		return f != breaking
	}
	switch k := over.Kind(); {
	case !over.IsValid(): // missing, and so empty
	case over.CanInt() || over.CanUint():
		if len(n.Pipe.Decl) > 1 {
			s.fail(n, "can't use %v to iterate over more than one variable", over)
		}
		for i := range over.Seq() {
			if !round(reflect.Value{}, i) {
				break
			}
		}
	case k == reflect.Slice || k == reflect.Array:
		for i := range over.Len() {
			if !round(reflect.ValueOf(i), over.Index(i)) {
				break
			}
		}
	case k == reflect.Map && over.Type().Key().Kind() == reflect.String:
		keys := over.MapKeys()
		s.e.charge(len(keys))
		slices.SortFunc(keys, func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) })
		for _, key := range keys {
			if !round(key, over.MapIndex(key)) {
				break
			}
		}
	default:
		s.fail(n, "range can't iterate over %v", over)
	}
	if rounds == 0 {
		return s.list(dot, n.ElseList)
	}
	return done
}

// setLoopVariables sets one variable to the element, and of two the first to the key.
func (s *scope) setLoopVariables(p *parse.PipeNode, key, element reflect.Value) {
	values := []reflect.Value{element}
	if len(p.Decl) > 1 {
		values = []reflect.Value{key, element}
	}
	if len(p.Decl) == 0 {
		return
	}
	for i, v := range values {
		if p.IsAssign {
			s.assign(p.Decl[i], v)
		} else {
			s.vars[len(s.vars)-len(values)+i].value = v
		}
	}
}

func (s *scope) assign(n *parse.VariableNode, v reflect.Value) { s.variable(n).value = v }

// variable returns the innermost one of that name. The parser has seen its declaration.
func (s *scope) variable(n *parse.VariableNode) *variable {
	for i := len(s.vars) - 1; i >= 0; i-- {
		if s.vars[i].name == n.Ident[0] {
			return &s.vars[i]
		}
	}
	s.fail(n, "undefined variable: %s", n.Ident[0])
	return nil
}
