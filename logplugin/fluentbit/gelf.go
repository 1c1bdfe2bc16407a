package fluentbit

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/secretref/secretref/logplugin/jsontext"
	"github.com/secretref/secretref/logplugin/router"
)

// Settings of messages of GELF: the members that are parts of a message. Without one it is the member of the part's own name.
const (
	GELFHost      = "gelf_host_key"
	GELFFull      = "gelf_full_message_key"
	GELFLevel     = "gelf_level_key"
	GELFTimestamp = "gelf_timestamp_key"
	GELFTag       = "gelf_tag_key" // the name of a member with the tag
)

// GELFSettings lists them.
func GELFSettings() []string { return []string{GELFHost, GELFFull, GELFLevel, GELFTimestamp, GELFTag} }

// GELF writes messages of GELF 1.1 as Fluent Bit does. The line is the short message.
type GELF struct {
	head   []byte // up to the line
	stamp  []byte // the time, where a member gives it
	source []byte // before the source
	tail   []byte // behind the source
	max    int
}

// NewGELF returns the writer of a session's messages. A line takes at most max bytes in JSON.
func NewGELF(s router.Session, f Settings, max int) *GELF {
	members := Members(s)
	if name := f[GELFTag]; name != "" {
		members = append(slices.DeleteFunc(members, func(m Member) bool { return m.Name == name }), Member{name, s.Tag})
	}
	w := &GELF{max: max}
	host := jsontext.AppendString(nil, []byte(s.Host)) // which the format requires
	for _, m := range members {
		value := jsontext.AppendString(nil, []byte(m.Value))
		switch part := partOf(f, m.Name); part {
		case "id": // which the format forbids
		case "host":
			host = value
		case "timestamp":
			w.stamp = value
		case "level":
			w.tail = append(append(w.tail, `,"level":`...), levelOf(m.Value)...)
		default:
			w.tail = append(append(jsontext.AppendString(append(w.tail, ','), []byte(part)), ':'), value...)
		}
	}
	w.tail = append(w.tail, '}')
	w.source = append(jsontext.AppendString([]byte(","), []byte(partOf(f, Source))), ':')
	w.head = append(append([]byte(`{"version":"1.1","host":`), host...), `,"short_message":"`...)
	return w
}

// partOf returns the part of a message that a member is: one of the format's, or a field of its own.
func partOf(f Settings, member string) string {
	switch member {
	case cmp.Or(f[GELFHost], "host"):
		return "host"
	case cmp.Or(f[GELFTimestamp], "timestamp"):
		return "timestamp"
	case cmp.Or(f[GELFLevel], "level"):
		return "level"
	case cmp.Or(f[GELFFull], "full_message"):
		return "full_message"
	case "id":
		return member
	}
	name := []byte("_" + member)
	for i, c := range name { // Fluent Bit writes one for each byte
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '-' {
			name[i] = '_'
		}
	}
	return string(name)
}

// levelOf returns a level as JSON: a number where it is one of syslog's, or the name of one.
func levelOf(text string) []byte {
	if len(text) == 1 && text[0] >= '0' && text[0] <= '7' {
		return []byte(text)
	}
	for n, name := range Severities() {
		if strings.EqualFold(name, text) {
			return strconv.AppendInt(nil, int64(n), 10)
		}
	}
	return jsontext.AppendString(nil, []byte(text))
}

// Severities are the names of syslog's severities, by number.
func Severities() []string {
	return []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}
}

// AppendGELF appends one message, without what ends it.
func (w *GELF) AppendGELF(dst []byte, r *router.Record) []byte {
	dst = append(jsontext.AppendCut(append(dst, w.head...), r.Line, w.max, router.Cut), `","timestamp":`...)
	if w.stamp != nil {
		dst = append(dst, w.stamp...)
	} else {
		dst = router.AppendSeconds(dst, r.TimeNano, 3)
	}
	dst = jsontext.AppendString(append(dst, w.source...), r.Source)
	return append(dst, w.tail...)
}
