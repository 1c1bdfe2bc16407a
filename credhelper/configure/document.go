package configure

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// document is the text of a JSON object that is edited in place: what is not touched keeps its bytes. Decoding and
// encoding it again would sort the keys, lose numbers' spelling and reformat the file.
type document struct{ text []byte }

// object is where an object and its members stand in the text.
type object struct {
	open, close int // of { and }
	members     []member
}

// member is "key": value. sep is what stands between the last token and the key: the line break and indentation.
type member struct {
	key              string
	keyStart, keyEnd int
	valStart, valEnd int
}

// parseDocument reads text, in which an empty file counts as {}, as it does for docker. The error says where the text
// cannot be read as JSON and quotes none of it: the file may hold passwords.
func parseDocument(text []byte) (*document, error) {
	switch {
	case bytes.HasPrefix(text, []byte("\ufeff")):
		return nil, errors.New("begins with a byte order mark; save it without one")
	case len(bytes.TrimSpace(text)) == 0:
		return &document{[]byte("{}")}, nil
	}
	d := &document{bytes.Clone(text)}
	if err := d.check(); err != nil {
		return nil, err
	}
	return d, nil
}

// check reports whether the text is one JSON object in which every key that we look at is there once.
func (d *document) check() error {
	var v json.RawMessage
	if err := json.Unmarshal(d.text, &v); err != nil {
		if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
			before := d.text[:min(int(syntax.Offset), len(d.text))]
			return fmt.Errorf("not valid JSON at line %d; correct it first", 1+bytes.Count(before, []byte("\n")))
		}
		return errors.New("not valid JSON; correct it first")
	}
	if bytes.TrimSpace(v)[0] != '{' {
		return errors.New("not a JSON object; correct it first")
	}
	top := d.object(0)
	for _, name := range []string{"credHelpers", "credsStore", "auths"} {
		if n := top.count(name); n > 1 {
			return fmt.Errorf("%q is there %d times; remove all but one", name, n)
		}
	}
	if i := top.index("credHelpers"); i >= 0 {
		if d.text[top.members[i].valStart] != '{' {
			return errors.New(`"credHelpers" is not a JSON object; correct it first`)
		}
		inner := d.object(top.members[i].valStart)
		for _, m := range inner.members {
			if inner.exact(m.key) != inner.last(m.key) {
				return fmt.Errorf("credHelpers[%q] is there twice; remove one", m.key)
			}
		}
	}
	return nil
}

// object reads the object whose { is the first token from offset on. The text is known to be valid.
func (d *document) object(offset int) object {
	dec := json.NewDecoder(bytes.NewReader(d.text[offset:]))
	at := func() int { return offset + int(dec.InputOffset()) }
	_, _ = dec.Token()
	o := object{open: at() - 1}
	for dec.More() {
		end := at()
		key, _ := dec.Token()
		m := member{keyEnd: at()}
		m.key, _ = key.(string)
		m.keyStart = end + bytes.IndexByte(d.text[end:], '"')
		var raw json.RawMessage
		_ = dec.Decode(&raw)
		m.valEnd = at()
		m.valStart = m.valEnd - len(raw)
		o.members = append(o.members, m)
	}
	_, _ = dec.Token()
	o.close = at() - 1
	return o
}

// index finds a key of docker's in any case, as docker's decoder does.
func (o object) index(name string) int {
	return slices.IndexFunc(o.members, func(m member) bool { return strings.EqualFold(m.key, name) })
}

func (o object) count(name string) (n int) {
	for _, m := range o.members {
		if strings.EqualFold(m.key, name) {
			n++
		}
	}
	return n
}

// exact finds a key of a map, such as a host.
func (o object) exact(key string) int {
	return slices.IndexFunc(o.members, func(m member) bool { return m.key == key })
}

func (o object) last(key string) int {
	for i, m := range slices.Backward(o.members) {
		if m.key == key {
			return i
		}
	}
	return -1
}

// helpers returns the credHelpers object.
func (d *document) helpers() (object, bool) {
	top := d.object(0)
	i := top.index("credHelpers")
	if i < 0 {
		return object{}, false
	}
	return d.object(top.members[i].valStart), true
}

// helper returns credHelpers[key].
func (d *document) helper(key string) (string, bool, error) {
	o, ok := d.helpers()
	if !ok {
		return "", false, nil
	}
	i := o.exact(key)
	if i < 0 {
		return "", false, nil
	}
	var s string
	if json.Unmarshal(d.text[o.members[i].valStart:o.members[i].valEnd], &s) != nil {
		return "", false, fmt.Errorf("credHelpers[%q] is not a string; correct it first", key)
	}
	return s, true, nil
}

// setHelper adds credHelpers[key], which is not there yet.
func (d *document) setHelper(key, value string) error {
	if o, ok := d.helpers(); ok {
		d.insert(o, key, quote(value))
		return nil
	}
	d.insert(d.object(0), "credHelpers", "{}")
	o, ok := d.helpers()
	if !ok {
		return errors.New("credHelpers cannot be added")
	}
	d.insert(o, key, quote(value))
	return nil
}

// dropHelpers removes the entries of credHelpers with that value, and credHelpers when nothing else was in it. It
// returns the keys.
func (d *document) dropHelpers(value string) ([]string, error) {
	var dropped []string
	for {
		o, ok := d.helpers()
		if !ok {
			return dropped, nil
		}
		i := slices.IndexFunc(o.members, func(m member) bool {
			var s string
			return json.Unmarshal(d.text[m.valStart:m.valEnd], &s) == nil && s == value
		})
		if i >= 0 {
			dropped = append(dropped, o.members[i].key)
			d.cut(o, i)
			continue
		}
		if len(o.members) == 0 && len(dropped) > 0 {
			d.remove("credHelpers")
		}
		slices.Sort(dropped)
		return dropped, nil
	}
}

// stringAt returns the string at a top-level key. null counts as absent.
func (d *document) stringAt(name string) (string, bool, error) {
	top := d.object(0)
	i := top.index(name)
	if i < 0 {
		return "", false, nil
	}
	var s *string
	if json.Unmarshal(d.text[top.members[i].valStart:top.members[i].valEnd], &s) != nil {
		return "", false, fmt.Errorf("%q is not a string; correct it first", name)
	}
	if s == nil {
		return "", false, nil
	}
	return *s, true, nil
}

// setString writes a top-level string, in its place if it has one.
func (d *document) setString(name, value string) {
	top := d.object(0)
	if i := top.index(name); i >= 0 {
		d.splice(top.members[i].valStart, top.members[i].valEnd, quote(value))
		return
	}
	d.insert(top, name, quote(value))
}

// remove takes a top-level key out.
func (d *document) remove(name string) {
	top := d.object(0)
	if i := top.index(name); i >= 0 {
		d.cut(top, i)
	}
}

// logins returns the keys of auths that hold a credential. docker leaves an empty entry for a login that a helper keeps.
func (d *document) logins() ([]string, error) {
	top := d.object(0)
	i := top.index("auths")
	if i < 0 {
		return nil, nil
	}
	var auths map[string]map[string]any
	if json.Unmarshal(d.text[top.members[i].valStart:top.members[i].valEnd], &auths) != nil {
		return nil, errors.New(`"auths" is not an object of objects; correct it first`)
	}
	var keys []string
	for k, entry := range auths {
		for _, name := range []string{"auth", "username", "password", "identitytoken", "registrytoken"} {
			if s, ok := entry[name].(string); ok && s != "" {
				keys = append(keys, k)
				break
			}
		}
	}
	slices.Sort(keys)
	return keys, nil
}

// insert adds a member at the end of o, laid out as the members before it are.
func (d *document) insert(o object, key, value string) {
	if n := len(o.members); n > 0 {
		last := o.members[n-1]
		from := o.open + 1
		if n > 1 {
			from = o.members[n-2].valEnd
		}
		gap := strings.Replace(string(d.text[from:last.keyStart]), ",", "", 1)
		colon := string(d.text[last.keyEnd:last.valStart])
		d.splice(last.valEnd, last.valEnd, ","+gap+quote(key)+colon+value)
		return
	}
	if len(d.object(0).members) > 0 && !bytes.Contains(d.text, []byte("\n")) {
		d.splice(o.open+1, o.close, quote(key)+":"+value) // all on one line: stays so
		return
	}
	outer, unit := d.indentAt(o.open)
	inside := string(d.text[o.open+1 : o.close])
	text := "\n" + outer + unit + quote(key) + ": " + value
	if !strings.Contains(inside, "\n") {
		d.splice(o.open+1, o.close, text+"\n"+outer)
		return
	}
	d.splice(o.open+1, o.open+1, text)
}

// indentAt returns the indentation of the line that offset is on, and of one level: what the first member of the
// document has, or a tab, as docker writes.
func (d *document) indentAt(offset int) (line, unit string) {
	blank := func(from int) string {
		rest := d.text[from:]
		return string(rest[:len(rest)-len(bytes.TrimLeft(rest, " \t"))])
	}
	line = blank(bytes.LastIndexByte(d.text[:offset], '\n') + 1)
	unit = "\t"
	if top := d.object(0); len(top.members) > 0 {
		if nl := bytes.LastIndexByte(d.text[:top.members[0].keyStart], '\n'); nl >= 0 && blank(nl+1) != "" {
			unit = blank(nl + 1)
		}
	}
	return line, unit
}

// cut removes member i of o with the comma and the blanks that belong to it.
func (d *document) cut(o object, i int) {
	switch n := len(o.members); {
	case i > 0:
		d.splice(o.members[i-1].valEnd, o.members[i].valEnd, "")
	case n > 1:
		d.splice(o.members[0].keyStart, o.members[1].keyStart, "")
	default:
		d.splice(o.open+1, o.close, "")
	}
}

func (d *document) splice(from, to int, s string) {
	d.text = slices.Concat(d.text[:from], []byte(s), d.text[to:])
}

// quote writes a JSON string. Hosts and helper names need no escapes.
func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return strconv.Quote(s)
	}
	return string(b)
}
