package http

import (
	"encoding/binary"
	"math"

	"github.com/secretref/secretref/logplugin/msgpack"
	"github.com/secretref/secretref/logplugin/router"
)

// packer writes maps of msgpack. A request has an array of them. Bytes that are not UTF-8 stay as they are.
type packer struct {
	time    timeWriter
	date    []byte // the name, as msgpack
	message []byte
	stream  []byte
	tail    []byte // the other members
	count   int    // of them
}

func newPacker(m members, t timeWriter) *packer {
	p := &packer{
		time: t, count: len(m.fixed),
		date: msgpack.AppendStr(nil, m.date), message: msgpack.AppendStr(nil, m.message), stream: msgpack.AppendStr(nil, "stream"),
	}
	for _, f := range m.fixed {
		p.tail = msgpack.AppendStr(msgpack.AppendStr(p.tail, f.Name), f.Value)
	}
	return p
}

func (p *packer) append(dst []byte, r *router.Record) []byte {
	n := p.count + 2
	if len(r.Source) > 0 {
		n++
	}
	dst = append(msgpack.AppendMap(dst, n), p.date...)
	switch p.time.form {
	case iso8601:
		dst = p.time.clock.Append(append(dst, 0xbe), r.TimeNano) // a text of 30 bytes
	case double:
		dst = binary.BigEndian.AppendUint64(append(dst, 0xcb), math.Float64bits(float64(r.TimeNano)/1e9))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0xd3), uint64(p.time.number(r.TimeNano))) //nolint:gosec // the format's int 64 may be negative
	}
	dst = appendText(append(dst, p.message...), r.Line)
	if len(r.Source) > 0 {
		dst = msgpack.AppendStr(append(dst, p.stream...), r.Source)
	}
	return append(dst, p.tail...)
}

// appendText appends a line, which is cut when it is too long.
func appendText(dst, line []byte) []byte {
	head, mark := router.Cut(line, maxText)
	return append(append(msgpack.AppendStrHead(dst, len(head)+len(mark)), head...), mark...)
}

// arrayHead is what is before n maps.
func arrayHead(n int) string {
	return string(binary.BigEndian.AppendUint32([]byte{0xdd}, uint32(n))) //nolint:gosec // there are less than 10,000
}
