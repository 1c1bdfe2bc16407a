package loki

import (
	"cmp"
	"slices"
	"strings"

	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/jsontext"
	"github.com/secretref/secretref/logplugin/router"
)

// Settings of loki-fluent-bit. In lists there are commas between the names, and a value that begins with a dollar sign is a member's.
const (
	labels     = "labels"
	labelKeys  = "label_keys"
	removeKeys = "remove_keys"
	metadata   = "structured_metadata"
	lineFormat = "line_format"
	dropSingle = "drop_single_key"
)

// settingsOf reads loki-fluent-bit; nil means that it is not given. Faults are in v.
func settingsOf(v *router.Values) fluentbit.Settings {
	return fluentbit.Read(v, "loki", labels, labelKeys, removeKeys, metadata, lineFormat, dropSingle)
}

// fluentLine makes of a record the line that Fluent Bit's output loki or Grafana's plugin for Fluent Bit sends. Its memory is used again
// for the next record.
type fluentLine struct {
	record   *fluentbit.Record // in JSON; nil = another form
	text     bool              // one member is left, the line, and it is sent as it is
	quoted   bool              // it is sent as a JSON string
	before   []byte            // the members in the form key_value, up to the line
	after    []byte            // behind it
	source   bool              // the source stands between the line and after
	hasLine  bool
	line     []byte
	modified router.Record
}

// asFluentBit makes the encoder of a session; faults are in v.
func asFluentBit(v *router.Values, s router.Session, f fluentbit.Settings, asJSON bool) *Encoder {
	values := map[string]string{}
	for _, m := range fluentbit.Members(s) {
		values[m.Name] = m.Value
	}
	all := map[string]string{}
	var used, fromSource, kept []string
	add := func(label, key string) {
		switch value, ok := values[key]; {
		case !labelName.MatchString(label):
			v.Refuse("log-opt loki-fluent-bit: %q is not the name of a label; it has letters, digits and underscores, and begins with no digit", label)
		case key == fluentbit.Source:
			fromSource = append(fromSource, label)
		case ok && value != "":
			all[label] = value
		}
		used = append(used, key)
	}
	for _, p := range pairsIn(v, f[labels]) {
		if key, dynamic := strings.CutPrefix(p.Value, "$"); dynamic {
			add(p.Name, key)
		} else if add(p.Name, ""); labelName.MatchString(p.Name) {
			all[p.Name] = p.Value
		}
	}
	for _, key := range namesIn(f[labelKeys]) {
		add(cleanName(key), key)
	}
	if name := strings.TrimPrefix(s.ContainerName, "/"); !namesContainer(all, name, s.ContainerID) {
		all["container_name"] = name // two containers never share a stream
	}
	if len(all)+len(fromSource) > maxLabels+1 {
		v.Refuse("log-opt loki-fluent-bit has %d labels; Loki takes %d", len(all), maxLabels)
	}
	extra := map[string]string{}
	for _, p := range pairsIn(v, f[metadata]) {
		extra[p.Name] = p.Value
		if key, dynamic := strings.CutPrefix(p.Value, "$"); dynamic {
			if key == fluentbit.Source || key == fluentbit.Log {
				v.Refuse("log-opt loki-fluent-bit: structured_metadata cannot have $%s, which differs from line to line; a label can have $source", key)
			}
			extra[p.Name] = values[key]
			used = append(used, key)
		}
	}
	used = append(used, namesIn(f[removeKeys])...)
	for _, m := range append(fluentbit.Members(s), fluentbit.Member{Name: fluentbit.Source}, fluentbit.Member{Name: fluentbit.Log}) {
		if !slices.Contains(used, m.Name) {
			kept = append(kept, m.Name)
		}
	}
	e := newEncoder(asJSON, pairsOf(all), pairsOf(extra), fromSource...)
	e.fluent = newFluentLine(v, s, f, used, kept)
	return e
}

// newFluentLine reads how the members that are kept become a line.
func newFluentLine(v *router.Values, s router.Session, f fluentbit.Settings, used, kept []string) *fluentLine {
	l := &fluentLine{hasLine: slices.Contains(kept, fluentbit.Log), source: slices.Contains(kept, fluentbit.Source)}
	form := f.OneOf(v, "loki", lineFormat, "json", "key_value")
	drop := f.OneOf(v, "loki", dropSingle, "off", "on", "raw")
	if len(kept) == 1 && l.hasLine && drop != "off" {
		l.text, l.quoted = true, drop == "on" && form == "json"
		return l
	}
	if form == "json" {
		l.record = fluentbit.NewRecord(s, fluentbit.Shape{Without: used}, maxLine)
		return l
	}
	members := slices.SortedFunc(slices.Values(fluentbit.Members(s)), func(a, b fluentbit.Member) int { return cmp.Compare(a.Name, b.Name) })
	for _, m := range members {
		switch {
		case !slices.Contains(kept, m.Name):
		case m.Name < fluentbit.Log:
			l.before = append(appendPair(l.before, m.Name, []byte(m.Value)), ' ')
		default:
			l.after = appendPair(append(l.after, ' '), m.Name, []byte(m.Value))
		}
	}
	return l
}

// appendPair appends name=value as logfmt does: in quotes where that is needed.
func appendPair(dst []byte, name string, value []byte) []byte {
	dst = append(append(dst, name...), '=')
	if len(value) > 0 && !slices.ContainsFunc(value, func(c byte) bool { return c <= ' ' || c == '=' || c == '"' || c == '\\' || c >= 0x7f }) {
		return append(dst, value...)
	}
	return jsontext.AppendString(dst, value)
}

// rewrite returns r with the line that is sent. It is valid until the next call.
func (l *fluentLine) rewrite(r *router.Record) *router.Record {
	l.modified = *r
	l.line = l.line[:0]
	switch {
	case l.quoted:
		l.modified.Line = l.use(jsontext.AppendString(l.line, r.Line))
	case l.text:
	case l.record != nil:
		l.modified.Line = l.use(append(l.record.AppendMembers(append(l.line, '{'), r), '}'))
	default:
		l.line = append(l.line, l.before...)
		if l.hasLine {
			l.line = appendPair(l.line, fluentbit.Log, r.Line)
		}
		if l.source {
			l.line = appendPair(append(l.line, ' '), fluentbit.Source, r.Source)
		}
		l.modified.Line = l.use(append(l.line, l.after...))
	}
	return &l.modified
}

func (l *fluentLine) use(line []byte) []byte {
	l.line = line
	return line
}

// pairsIn reads a setting of names and values; faults are in v.
func pairsIn(v *router.Values, text string) []router.Pair {
	if text == "" {
		return nil
	}
	pairs, err := router.Pairs(text)
	if err != nil {
		v.Refuse("log-opt loki-fluent-bit: %w", err)
	}
	return pairs
}

// namesIn reads a setting of names, which may have a dollar sign in front.
func namesIn(text string) (names []string) {
	for name := range strings.SplitSeq(text, ",") {
		if name = strings.TrimPrefix(strings.TrimSpace(name), "$"); name != "" {
			names = append(names, name)
		}
	}
	return names
}
