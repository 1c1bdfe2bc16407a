package http

import (
	"strings"

	"github.com/secretref/secretref/logplugin/jsontext"
	"github.com/secretref/secretref/logplugin/router"
)

// messages writes messages of GELF 1.1, each with a line break behind it. The format has no empty message: such a line is left out.
type messages struct {
	head []byte // up to the line
	tail []byte // behind the level
}

func newMessages(m members, s router.Session) *messages {
	w := &messages{}
	host := s.Host
	for _, f := range m.fixed {
		name := "_" + strings.TrimLeft(strings.Map(fieldByte, f.Name), "_")
		switch {
		case f.Name == "host":
			host = f.Value
		case name != "_id" && name != "_": // the format forbids it
			w.tail = appendMember(append(w.tail, ','), name, f.Value)
		}
	}
	w.head = append(appendMember([]byte(`{"version":"1.1",`), "host", host), `,"short_message":"`...)
	w.tail = append(w.tail, "}\n"...)
	return w
}

// fieldByte returns r, or what stands for it where the name of a field cannot have it.
func fieldByte(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_.-", r) {
		return r
	}
	return '_'
}

func (w *messages) append(dst []byte, r *router.Record) []byte {
	if len(r.Line) == 0 {
		return dst
	}
	dst = jsontext.AppendCut(append(dst, w.head...), r.Line, maxText, router.Cut)
	dst = router.AppendSeconds(append(dst, `","timestamp":`...), r.TimeNano, 3) // milliseconds, which is what Graylog keeps
	if string(r.Source) == "stderr" {
		dst = append(dst, `,"level":3`...)
	} else {
		dst = append(dst, `,"level":6`...)
	}
	return append(dst, w.tail...)
}
