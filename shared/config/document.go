package config

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2/unstable"
)

// item is one thing that a file says: a key with its value, or a table with none.
type item struct {
	path  []string // table and key
	line  int
	value value // of kind Invalid for a table
}

type value struct {
	kind  unstable.Kind
	text  string  // of a string, decoded; of a bool "true" or "false"; of a number as it is written
	items []value // of an array
	keys  []item  // of an inline table in an array
}

func (v value) isTable() bool { return v.kind == unstable.Invalid }

// typeName is the type as TOML calls it, with its article.
func (v value) typeName() string {
	switch v.kind {
	case unstable.Invalid, unstable.InlineTable:
		return "a table"
	case unstable.String:
		return "a string"
	case unstable.Bool:
		return "a boolean"
	case unstable.Integer:
		return "an integer"
	case unstable.Float:
		return "a float"
	case unstable.Array:
		return "an array"
	}
	return "a date or time"
}

// document turns the text of one file into items, each with its line. It reads the parser's tree and not a decoded
// struct: the decoder matches keys in any case and forgets where a value stood.
type document struct {
	file  string
	p     unstable.Parser
	items []item
	seen  map[string]mark
	count map[string]int // elements of each list of tables so far
	err   *Error

	counted, lines int // the line feeds before the offset counted
}

// mark is how a name came to be, since TOML lets some tables be opened again and others not.
type mark struct {
	how  how
	line int
}

type how int

const (
	byParent how = iota // [a.b] makes a
	byHeader
	byDots // a.b = 1 makes a, and may add to it
	byValue
	byElement // [[a]] makes a, and adds to it
)

// parse returns the items of one file; with an error, those before the mistake.
func parse(file string, data []byte) ([]item, *Error) {
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))
	d := document{file: file, seen: map[string]mark{}, count: map[string]int{}}
	if !utf8.Valid(data) {
		return nil, fail(Origin{File: file}, "save it as UTF-8", "is not UTF-8 text")
	}
	d.p.Reset(data)
	var table []string
	for d.err == nil && d.p.NextExpression() {
		e := d.p.Expression()
		path, line := d.key(e.Key())
		switch e.Kind {
		case unstable.ArrayTable:
			if isSecretOptions(path) {
				table = d.element(path, line)
				continue
			}
			return nil, fail(Origin{file, line}, "write single brackets", "[[%s]] makes a list of tables, which only secretOptions of a destination is", join(path))
		case unstable.Table:
			table = path
			d.header(path, line)
		default:
			d.assign(table, path, line, e.Value())
		}
	}
	if d.err != nil {
		return d.items, d.err
	}
	if err := d.p.Error(); err != nil {
		return d.items, d.syntax(err)
	}
	return d.items, nil
}

func (d *document) key(it unstable.Iterator) (path []string, line int) {
	for it.Next() {
		n := it.Node()
		path = append(path, string(n.Data))
		if line == 0 {
			line = d.lineAt(int(n.Raw.Offset))
		}
	}
	return path, line
}

// lineAt counts on from the offset of the last call, and from the start for a smaller one.
func (d *document) lineAt(offset int) int {
	if offset < d.counted {
		d.counted, d.lines = 0, 0
	}
	d.lines += bytes.Count(d.p.Data()[d.counted:offset], []byte{'\n'})
	d.counted = offset
	return d.lines + 1
}

func (d *document) header(path []string, line int) {
	for i := 1; i < len(path); i++ {
		switch m, ok := d.seen[id(path[:i])]; {
		case !ok:
			d.seen[id(path[:i])] = mark{byParent, line}
		case m.how == byValue:
			d.twice(path[:i], line, m)
			return
		}
	}
	if m, ok := d.seen[id(path)]; ok && m.how != byParent {
		d.twice(path, line, m)
		return
	}
	d.seen[id(path)] = mark{byHeader, line}
	d.items = append(d.items, item{path: path, line: line})
}

// element begins the next table of a list of tables, and returns its path.
func (d *document) element(path []string, line int) []string {
	for i := 1; i <= len(path); i++ {
		m, ok := d.seen[id(path[:i])]
		switch last := i == len(path); {
		case !ok && last:
			d.seen[id(path)] = mark{byElement, line}
		case !ok:
			d.seen[id(path[:i])] = mark{byParent, line}
		case m.how == byValue, last && m.how != byElement:
			d.twice(path[:i], line, m)
			return nil
		}
	}
	table := slices.Concat(path, []string{listElement(d.count[id(path)])})
	d.count[id(path)]++
	d.items = append(d.items, item{path: table, line: line})
	return table
}

// assign notes key = n in table. The keys of an inline table become items of their own. A dotted key may add to what
// another dotted key has made: that was in the same table, since no table can be entered twice.
func (d *document) assign(table, key []string, line int, n *unstable.Node) {
	path := slices.Concat(table, key)
	for i := len(table) + 1; i < len(path); i++ {
		m, ok := d.seen[id(path[:i])]
		if ok && m.how != byDots {
			d.twice(path[:i], line, m)
			return
		}
		d.seen[id(path[:i])] = mark{byDots, line}
	}
	if m, ok := d.seen[id(path)]; ok {
		d.twice(path, line, m)
		return
	}
	d.seen[id(path)] = mark{byValue, line}
	if n.Kind != unstable.InlineTable {
		d.items = append(d.items, item{path, line, convert(n)})
		return
	}
	d.items = append(d.items, item{path: path, line: line})
	for it := n.Children(); it.Next() && d.err == nil; {
		key, line := d.key(it.Node().Key())
		d.assign(path, key, line, it.Node().Value())
	}
}

func convert(n *unstable.Node) value {
	v := value{kind: n.Kind}
	switch n.Kind {
	case unstable.Array:
		v.items = []value{}
		for it := n.Children(); it.Next(); {
			v.items = append(v.items, convert(it.Node()))
		}
	case unstable.InlineTable:
		for it := n.Children(); it.Next(); {
			var path []string
			for k := it.Node().Key(); k.Next(); {
				path = append(path, string(k.Node().Data))
			}
			v.keys = append(v.keys, item{path: path, value: convert(it.Node().Value())})
		}
	case unstable.String, unstable.Bool, unstable.Integer, unstable.Float:
		v.text = string(n.Data)
	}
	return v
}

func (d *document) twice(path []string, line int, m mark) {
	d.err = fail(Origin{d.file, line}, "keep one", "%s is already given in line %d", join(path), m.line)
}

// syntax explains what the TOML parser could not read.
func (d *document) syntax(err error) *Error {
	at := Origin{File: d.file}
	fix := "correct the TOML"
	var pe *unstable.ParserError
	if errors.As(err, &pe) {
		offset := int(d.p.Range(pe.Highlight).Offset)
		at.Line = d.lineAt(offset)
		line := d.p.Data()[bytes.LastIndexByte(d.p.Data()[:offset], '\n')+1:]
		line, _, _ = bytes.Cut(line, []byte{'\n'})
		text := strings.TrimSpace(string(line))
		if host, ok := strings.CutPrefix(text, "[registries."); ok && !strings.ContainsAny(host, `"'`) {
			if end := strings.LastIndexByte(host, ']'); end >= 0 {
				host = host[:end]
			}
			fix = `put the host in quotes: [registries."` + host + `"]`
		}
	}
	return fail(at, fix, "not TOML: %v", err)
}

// id is path as a map key.
func id(path []string) string { return strings.Join(path, "\x00") }

// join is path as a user would write it.
func join(path []string) string {
	var b strings.Builder
	for i, p := range path {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(quoteKey(p))
	}
	return b.String()
}

func quoteKey(s string) string {
	bare := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-'
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !bare(r) }) < 0 {
		return s
	}
	return `"` + s + `"`
}
