package bounded

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"text/template"
)

// builtin is a function of text/template that takes values of any type.
type builtin struct {
	least, most int                      // number of arguments; most 0 means any
	ends        func(reflect.Value) bool // of and, or: an argument after which none is evaluated, and which is the result
	f           func(args []reflect.Value) (reflect.Value, error)
}

// builtins are those of text/template that functions does not replace.
var builtins = map[string]builtin{
	"and":   {least: 1, ends: func(v reflect.Value) bool { return !truth(v) }},
	"or":    {least: 1, ends: truth},
	"not":   {least: 1, most: 1, f: func(a []reflect.Value) (reflect.Value, error) { return reflect.ValueOf(!truth(a[0])), nil }},
	"len":   {least: 1, most: 1, f: length},
	"index": {least: 1, f: index},
	"slice": {least: 1, f: slice},
	"call":  {least: 1, f: noFunction},
	"eq":    {least: 1, f: equalsAny},
	"ne":    {least: 2, most: 2, f: differs},
	"lt":    {least: 2, most: 2, f: ordered(func(c int) bool { return c < 0 })},
	"le":    {least: 2, most: 2, f: ordered(func(c int) bool { return c <= 0 })},
	"gt":    {least: 2, most: 2, f: ordered(func(c int) bool { return c > 0 })},
	"ge":    {least: 2, most: 2, f: ordered(func(c int) bool { return c >= 0 })},
}

// builtinNames are for the parser, which asks for names alone.
var builtinNames = func() map[string]any {
	names := map[string]any{}
	for name := range builtins {
		names[name] = name
	}
	return names
}()

// truth reports whether a condition holds: a value that is not the zero of its type, and not empty.
func truth(v reflect.Value) bool {
	if v = inside(v); !v.IsValid() || !v.CanInterface() {
		return false
	}
	is, _ := template.IsTrue(v.Interface())
	return is
}

// inside returns what an interface holds.
func inside(v reflect.Value) reflect.Value {
	if v.Kind() == reflect.Interface {
		return v.Elem()
	}
	return v
}

// indirect follows pointers and interfaces up to a nil.
func indirect(v reflect.Value) (target reflect.Value, isNil bool) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return v, true
		}
		v = v.Elem()
	}
	return v, false
}

// printable returns what package fmt prints for a value: what a pointer points to, unless the pointer knows better.
func printable(v reflect.Value) (any, bool) {
	if v.Kind() == reflect.Pointer {
		v, _ = indirect(v)
	}
	if !v.IsValid() {
		return "<no value>", true
	}
	if !prints(v.Type()) && v.CanAddr() && prints(reflect.PointerTo(v.Type())) {
		v = v.Addr()
	}
	return v.Interface(), v.Kind() != reflect.Func && v.Kind() != reflect.Chan
}

func prints(t reflect.Type) bool {
	return t.Implements(reflect.TypeFor[error]()) || t.Implements(reflect.TypeFor[fmt.Stringer]())
}

// noFunction is what call gives: the data of a template holds no functions.
func noFunction([]reflect.Value) (reflect.Value, error) {
	return reflect.Value{}, errors.New("the data of a template holds no functions")
}

func length(args []reflect.Value) (reflect.Value, error) {
	v, isNil := indirect(args[0])
	if isNil {
		return v, errors.New("len of nil pointer")
	}
	switch v.Kind() {
	case reflect.String, reflect.Slice, reflect.Array, reflect.Map:
		return reflect.ValueOf(v.Len()), nil
	case reflect.Invalid:
		return v, errors.New("len of nothing")
	}
	return v, fmt.Errorf("len of type %s", v.Type())
}

// position reads an index that must not be past the limit.
func position(v reflect.Value, limit int) (int, error) {
	v = inside(v)
	n := -1
	switch {
	case !v.IsValid():
		return 0, errors.New("cannot index slice/array with nil")
	case v.CanInt():
		n = int(v.Int())
	case v.CanUint() && v.Uint() <= uint64(limit):
		n = int(v.Uint())
	case !v.CanUint():
		return 0, fmt.Errorf("cannot index slice/array with type %s", v.Type())
	}
	if n < 0 || n > limit {
		return 0, fmt.Errorf("index out of range: %v", v)
	}
	return n, nil
}

// index returns args[0][args[1]][args[2]] and so on.
func index(args []reflect.Value) (reflect.Value, error) {
	v := inside(args[0])
	if !v.IsValid() {
		return v, errors.New("index of untyped nil")
	}
	for _, key := range args[1:] {
		at, isNil := indirect(v)
		if isNil {
			return v, errors.New("index of nil pointer")
		}
		switch at.Kind() {
		case reflect.String, reflect.Slice, reflect.Array:
			n, err := position(key, at.Len()-1)
			if err != nil {
				return v, err
			}
			v = at.Index(n)
		case reflect.Map:
			key, t := inside(key), at.Type()
			if !key.IsValid() || !key.Type().AssignableTo(t.Key()) {
				return v, fmt.Errorf("a key must be of type %s", t.Key())
			}
			if v = at.MapIndex(key); !v.IsValid() {
				v = reflect.Zero(t.Elem())
			}
		default:
			return v, fmt.Errorf("can't index item of type %s", at.Type())
		}
	}
	return v, nil
}

// slice returns args[0][args[1]:args[2]:args[3]]; what is left out is what it is in Go.
func slice(args []reflect.Value) (reflect.Value, error) {
	v, isNil := indirect(args[0])
	bounds := args[1:]
	switch {
	case !v.IsValid() || isNil:
		return v, errors.New("slice of nil")
	case v.Kind() != reflect.String && v.Kind() != reflect.Slice:
		return v, fmt.Errorf("can't slice item of type %s", v.Type())
	case len(bounds) > 3 || len(bounds) == 3 && v.Kind() == reflect.String:
		return v, fmt.Errorf("too many slice indexes: %d", len(bounds))
	}
	limit := v.Len()
	if v.Kind() == reflect.Slice {
		limit = v.Cap()
	}
	at := []int{0, v.Len(), limit}
	for i, b := range bounds {
		var err error
		if at[i], err = position(b, limit); err != nil {
			return v, err
		}
	}
	if at[0] > at[1] || at[1] > at[2] {
		return v, fmt.Errorf("invalid slice index: %d", at)
	}
	if len(bounds) == 3 {
		return v.Slice3(at[0], at[1], at[2]), nil
	}
	return v.Slice(at[0], at[1]), nil
}

var errComparison = errors.New("invalid type for comparison")

// compare orders two basic values. Integers compare whatever their types are.
func compare(a, b reflect.Value) (int, error) {
	switch {
	case !a.IsValid() || !b.IsValid():
		return 0, errComparison
	case a.CanInt() && b.CanInt():
		return cmp.Compare(a.Int(), b.Int()), nil
	case a.CanUint() && b.CanUint():
		return cmp.Compare(a.Uint(), b.Uint()), nil
	case a.CanInt() && b.CanUint():
		if a.Int() < 0 {
			return -1, nil
		}
		return cmp.Compare(uint64(a.Int()), b.Uint()), nil
	case a.CanUint() && b.CanInt():
		c, err := compare(b, a)
		return -c, err
	case a.CanFloat() && b.CanFloat():
		return cmp.Compare(a.Float(), b.Float()), nil
	case a.Kind() == reflect.String && b.Kind() == reflect.String:
		return strings.Compare(a.String(), b.String()), nil
	}
	return 0, fmt.Errorf("incompatible types for comparison: %v and %v", a.Type(), b.Type())
}

func ordered(holds func(int) bool) func([]reflect.Value) (reflect.Value, error) {
	return func(args []reflect.Value) (reflect.Value, error) {
		c, err := compare(inside(args[0]), inside(args[1]))
		return reflect.ValueOf(holds(c)), err
	}
}

func equal(a, b reflect.Value) (bool, error) {
	if c, err := compare(a, b); err == nil {
		return c == 0, nil
	}
	switch {
	case isNil(a) || isNil(b):
		return isNil(a) && isNil(b), nil
	case a.Kind() != b.Kind():
		return false, fmt.Errorf("incompatible types for comparison: %v and %v", a.Type(), b.Type())
	case !a.Comparable() || !b.Comparable():
		return false, fmt.Errorf("non-comparable type %s", a.Type())
	}
	return a.Interface() == b.Interface(), nil
}

// isNil reports whether v is missing or nil.
func isNil(v reflect.Value) bool { return !v.IsValid() || canBeNil(v.Type()) && v.IsNil() }

// equalsAny reports whether the first of args equals one of the others.
func equalsAny(args []reflect.Value) (reflect.Value, error) {
	if len(args) == 1 {
		return reflect.Value{}, errors.New("missing argument for comparison")
	}
	for _, other := range args[1:] {
		if same, err := equal(inside(args[0]), inside(other)); err != nil || same {
			return reflect.ValueOf(same), err
		}
	}
	return reflect.ValueOf(false), nil
}

func differs(args []reflect.Value) (reflect.Value, error) {
	same, err := equal(inside(args[0]), inside(args[1]))
	return reflect.ValueOf(!same), err
}
