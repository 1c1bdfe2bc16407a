package bounded

import "reflect"

const (
	headerBytes  = 16 // what a text takes besides its bytes, and a list prints around each of its elements
	measureDepth = 8  // fmt and encoding/json go less deep into the data of a template
)

// size is what printing a value can make, as far as no width is asked for.
type size struct {
	bytes    int // of its texts, before escaping
	elements int // of its lists, each of which may get a width of its own
}

// measure returns the size of v. It stops to look when that is past limit.
func measure(v reflect.Value, limit int) size {
	s := size{elements: 1}
	s.add(v, limit, measureDepth)
	return s
}

func (s *size) add(v reflect.Value, limit, depth int) {
	if s.bytes > limit {
		return
	}
	kind := v.Kind()
	if depth == 0 {
		kind = reflect.Invalid
	}
	switch kind {
	case reflect.String:
		s.bytes += v.Len()
	case reflect.Slice, reflect.Array:
		for i := 0; i < v.Len() && s.bytes <= limit; i++ {
			s.element(v.Index(i), limit, depth)
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next() && s.bytes <= limit; {
			s.element(it.Key(), limit, depth)
			s.element(it.Value(), limit, depth)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			s.element(v.Field(i), limit, depth)
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			s.add(v.Elem(), limit, depth-1)
		}
	default:
		s.bytes += headerBytes
	}
}

func (s *size) element(v reflect.Value, limit, depth int) {
	s.elements++
	s.bytes += headerBytes
	s.add(v, limit, depth-1)
}
