package conffile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Document is the text of a JSON object that is edited in place: what is not touched keeps its bytes. Decoding and
// encoding it again would sort the keys, lose numbers' spelling and reformat the file.
type Document struct {
	Text []byte
	keys Keys
}

// Keys are those of a document that are looked at.
type Keys struct {
	Names  []string // must not be there twice
	Tables []string // among Names: objects in which no key may be there twice
}

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

// Parse reads text, in which an empty file counts as {}, as it does for docker. The error says where the text
// cannot be read as JSON and quotes none of it: the file may hold passwords.
func Parse(text []byte, keys Keys) (*Document, error) {
	switch {
	case bytes.HasPrefix(text, []byte("\ufeff")):
		return nil, errors.New("begins with a byte order mark; save it without one")
	case len(bytes.TrimSpace(text)) == 0:
		return &Document{[]byte("{}"), keys}, nil
	}
	d := &Document{bytes.Clone(text), keys}
	if err := d.Check(); err != nil {
		return nil, err
	}
	return d, nil
}

// Check reports whether the text is one JSON object in which every key that we look at is there once.
func (d *Document) Check() error {
	var v json.RawMessage
	if err := json.Unmarshal(d.Text, &v); err != nil {
		if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
			before := d.Text[:min(int(syntax.Offset), len(d.Text))]
			return fmt.Errorf("not valid JSON at line %d; correct it first", 1+bytes.Count(before, []byte("\n")))
		}
		return errors.New("not valid JSON; correct it first")
	}
	if bytes.TrimSpace(v)[0] != '{' {
		return errors.New("not a JSON object; correct it first")
	}
	top := d.object(0)
	for _, name := range d.keys.Names {
		if n := top.count(name); n > 1 {
			return fmt.Errorf("%q is there %d times; remove all but one", name, n)
		}
	}
	for _, name := range d.keys.Tables {
		if err := d.checkTable(top, name); err != nil {
			return err
		}
	}
	return nil
}

func (d *Document) checkTable(top object, name string) error {
	i := top.index(name)
	if i < 0 {
		return nil
	}
	if d.Text[top.members[i].valStart] != '{' {
		return fmt.Errorf("%q is not a JSON object; correct it first", name)
	}
	inner := d.object(top.members[i].valStart)
	for _, m := range inner.members {
		if inner.exact(m.key) != inner.last(m.key) {
			return fmt.Errorf("%s[%q] is there twice; remove one", name, m.key)
		}
	}
	return nil
}

// object reads the object whose { is the first token from offset on. The text is known to be valid.
func (d *Document) object(offset int) object {
	dec := json.NewDecoder(bytes.NewReader(d.Text[offset:]))
	at := func() int { return offset + int(dec.InputOffset()) }
	_, _ = dec.Token()
	o := object{open: at() - 1}
	for dec.More() {
		end := at()
		key, _ := dec.Token()
		m := member{keyEnd: at()}
		m.key, _ = key.(string)
		m.keyStart = end + bytes.IndexByte(d.Text[end:], '"')
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

// index finds a key of the document in any case, as the decoders of docker and dockerd do.
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

// member returns where table[key] stands; table is a key of the document.
func (d *Document) member(table, key string) (member, bool) {
	if o, ok := d.table(table); ok {
		if i := o.exact(key); i >= 0 {
			return o.members[i], true
		}
	}
	return member{}, false
}

func (d *Document) table(name string) (object, bool) {
	top := d.object(0)
	i := top.index(name)
	if i < 0 {
		return object{}, false
	}
	return d.object(top.members[i].valStart), true
}

// Get returns the JSON of table[key], where table is one of Keys.Tables.
func (d *Document) Get(table, key string) (json.RawMessage, bool) {
	m, ok := d.member(table, key)
	return d.value(m), ok
}

func (d *Document) value(m member) json.RawMessage { return d.Text[m.valStart:m.valEnd:m.valEnd] }

// Set puts table[key] in its place, or at the end of the table, which is added if it is not there.
func (d *Document) Set(table, key string, value json.RawMessage) {
	if m, ok := d.member(table, key); ok {
		d.splice(m.valStart, m.valEnd, string(value))
		return
	}
	o, ok := d.table(table)
	if !ok {
		d.insert(d.object(0), table, "{}")
		o, _ = d.table(table)
	}
	d.insert(o, key, string(value))
}

// Drop removes the entries of table for which is true, and the table when nothing else was in it. It returns their keys.
func (d *Document) Drop(table string, is func(key string, value json.RawMessage) bool) []string {
	var dropped []string
	for {
		o, ok := d.table(table)
		if !ok {
			return dropped
		}
		i := slices.IndexFunc(o.members, func(m member) bool { return is(m.key, d.value(m)) })
		if i >= 0 {
			dropped = append(dropped, o.members[i].key)
			d.cut(o, i)
			continue
		}
		if len(o.members) == 0 && len(dropped) > 0 {
			d.Remove(table)
		}
		slices.Sort(dropped)
		return dropped
	}
}

// Keys returns the keys of a table, or of the document itself, whose name is "".
func (d *Document) Keys(table string) (keys []string) {
	o, ok := d.object(0), true
	if table != "" {
		o, ok = d.table(table)
	}
	for i := 0; ok && i < len(o.members); i++ {
		keys = append(keys, o.members[i].key)
	}
	return keys
}

// Value returns the JSON at a key of the document.
func (d *Document) Value(name string) (json.RawMessage, bool) {
	top := d.object(0)
	if i := top.index(name); i >= 0 {
		return d.value(top.members[i]), true
	}
	return nil, false
}

// StringAt returns the string at a top-level key. null counts as absent.
func (d *Document) StringAt(name string) (string, bool, error) {
	value, ok := d.Value(name)
	if !ok {
		return "", false, nil
	}
	var s *string
	if json.Unmarshal(value, &s) != nil {
		return "", false, fmt.Errorf("%q is not a string; correct it first", name)
	}
	if s == nil {
		return "", false, nil
	}
	return *s, true, nil
}

// SetString writes a top-level string, in its place if it has one.
func (d *Document) SetString(name, value string) {
	top := d.object(0)
	if i := top.index(name); i >= 0 {
		d.splice(top.members[i].valStart, top.members[i].valEnd, quote(value))
		return
	}
	d.insert(top, name, quote(value))
}

// Remove takes a top-level key out.
func (d *Document) Remove(name string) {
	top := d.object(0)
	if i := top.index(name); i >= 0 {
		d.cut(top, i)
	}
}

// insert adds a member at the end of o, laid out as the members before it are.
func (d *Document) insert(o object, key, value string) {
	if n := len(o.members); n > 0 {
		last := o.members[n-1]
		from := o.open + 1
		if n > 1 {
			from = o.members[n-2].valEnd
		}
		gap := strings.Replace(string(d.Text[from:last.keyStart]), ",", "", 1)
		colon := string(d.Text[last.keyEnd:last.valStart])
		d.splice(last.valEnd, last.valEnd, ","+gap+quote(key)+colon+value)
		return
	}
	if len(d.object(0).members) > 0 && !bytes.Contains(d.Text, []byte("\n")) {
		d.splice(o.open+1, o.close, quote(key)+":"+value) // all on one line: stays so
		return
	}
	outer, unit := d.indentAt(o.open)
	inside := string(d.Text[o.open+1 : o.close])
	text := "\n" + outer + unit + quote(key) + ": " + value
	if !strings.Contains(inside, "\n") {
		d.splice(o.open+1, o.close, text+"\n"+outer)
		return
	}
	d.splice(o.open+1, o.open+1, text)
}

// indentAt returns the indentation of the line that offset is on, and of one level: what the first member of the
// document has, or a tab, as docker writes.
func (d *Document) indentAt(offset int) (line, unit string) {
	blank := func(from int) string {
		rest := d.Text[from:]
		return string(rest[:len(rest)-len(bytes.TrimLeft(rest, " \t"))])
	}
	line = blank(bytes.LastIndexByte(d.Text[:offset], '\n') + 1)
	unit = "\t"
	if top := d.object(0); len(top.members) > 0 {
		if nl := bytes.LastIndexByte(d.Text[:top.members[0].keyStart], '\n'); nl >= 0 && blank(nl+1) != "" {
			unit = blank(nl + 1)
		}
	}
	return line, unit
}

// cut removes member i of o with the comma and the blanks that belong to it.
func (d *Document) cut(o object, i int) {
	switch n := len(o.members); {
	case i > 0:
		d.splice(o.members[i-1].valEnd, o.members[i].valEnd, "")
	case n > 1:
		d.splice(o.members[0].keyStart, o.members[1].keyStart, "")
	default:
		d.splice(o.open+1, o.close, "")
	}
}

func (d *Document) splice(from, to int, s string) {
	d.Text = slices.Concat(d.Text[:from], []byte(s), d.Text[to:])
}

// quote writes a JSON string.
func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return strconv.Quote(s)
	}
	return string(b)
}
