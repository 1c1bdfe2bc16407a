package payload

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// object is a JSON object with its keys as they are written, because encoding/json would merge "Username" and
// "username" without a word, and which of two values wins is nothing to guess at.
type object struct {
	keys   []string // in order of first appearance
	values map[string]json.RawMessage
}

// parseObject reads text if it is one JSON object and nothing else. Of a key that is there twice the last value wins,
// as in ECS and in most JSON readers.
func parseObject(text []byte) (*object, bool) {
	text = bytes.TrimSpace(text)
	if len(text) == 0 || text[0] != '{' || !json.Valid(text) {
		return nil, false
	}
	o := &object{values: make(map[string]json.RawMessage)}
	d := json.NewDecoder(bytes.NewReader(text))
	if _, err := d.Token(); err != nil {
		return nil, false
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, false
		}
		key, ok := t.(string)
		var v json.RawMessage
		if !ok || d.Decode(&v) != nil {
			return nil, false
		}
		if _, twice := o.values[key]; !twice {
			o.keys = append(o.keys, key)
		}
		o.values[key] = v
	}
	return o, true
}

// find returns the value of name in any case, as ECS matches keys. null counts as absent, as it does for ECS.
func (o *object) find(name string) (json.RawMessage, bool) {
	for _, k := range o.keys {
		if v := o.values[k]; strings.EqualFold(k, name) && string(v) != "null" {
			return v, true
		}
	}
	return nil, false
}

// has reports whether one of the names is there.
func (o *object) has(names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { _, ok := o.find(n); return ok })
}

// filled reports whether name is there and not an empty string, which is how docker writes an absent field.
func (o *object) filled(name string) bool {
	v, ok := o.find(name)
	return ok && string(v) != `""`
}

// given returns those of the names that are filled.
func (o *object) given(names ...string) []string {
	var given []string
	for _, n := range names {
		if o.filled(n) {
			given = append(given, n)
		}
	}
	return given
}

// oneSpelling refuses an object with two spellings of one of the names.
func (o *object) oneSpelling(names ...string) *problem {
	for _, n := range names {
		var seen []string
		for _, k := range o.keys {
			if strings.EqualFold(k, n) {
				seen = append(seen, k)
			}
		}
		if len(seen) > 1 {
			return &problem{"the secret has one key in two spellings, " + list(seen), hintOne}
		}
	}
	return nil
}

// text returns the non-empty string at name. what names the object in the problem.
func (o *object) text(name, what string) (string, *problem) {
	v, ok := o.find(name)
	if !ok {
		return "", &problem{what + " has no " + strconv.Quote(name) + "; " + o.found(), hintShape}
	}
	var s string
	if json.Unmarshal(v, &s) != nil {
		return "", &problem{strconv.Quote(name) + " in " + what + " is not a JSON string", hintShape}
	}
	if s == "" {
		return "", &problem{strconv.Quote(name) + " in " + what + " is empty", hintShape}
	}
	return s, nil
}

// object returns the object at name.
func (o *object) object(name string) (*object, bool) {
	v, ok := o.find(name)
	if !ok {
		return nil, false
	}
	return parseObject(v)
}

// found says which keys there are, for errors.
func (o *object) found() string {
	if len(o.keys) == 0 {
		return "it has no keys"
	}
	return "its keys are " + list(o.keys)
}

// list quotes names for an error: a few, and none at a length that no name has.
func list(names []string) string {
	const most, longest = 8, 80
	var b strings.Builder
	for i, n := range names {
		if i == most {
			b.WriteString(" and " + strconv.Itoa(len(names)-most) + " more")
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		if len(n) > longest {
			b.WriteString("one of " + strconv.Itoa(len(n)) + " bytes")
			continue
		}
		b.WriteString(strconv.Quote(n))
	}
	return b.String()
}
