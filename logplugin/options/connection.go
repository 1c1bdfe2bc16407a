package options

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
)

// Connection identifies what a router needs to know to connect. Sessions with equal ones share a router. It is
// comparable, and nothing can be read from it.
type Connection [sha256.Size]byte

// String returns a few digits for logs.
func (c Connection) String() string { return hex.EncodeToString(c[:6]) }

// Connection returns the identity of o's connection: the router, its connection options and the references among them.
// What belongs to one container's lines (tag, source, labels) does not count, unless the option is marked Apart.
func (r *Rules) Connection(o Options) (Connection, error) {
	k := r.kind(o.Router)
	if k == nil {
		return Connection{}, fmt.Errorf("%q is not a router here", o.Router)
	}
	text := appendText(nil, o.Router)
	given := slices.Concat(slices.Collect(maps.Keys(o.Plain)), slices.Collect(maps.Keys(o.References)))
	for _, name := range slices.Compact(slices.Sorted(slices.Values(given))) {
		if l := k.Option(name); l == nil || !l.IsConnection() {
			continue
		}
		if ref, ok := o.References[name]; ok {
			text = appendText(appendText(append(text, 'r'), name), ref.String())
		} else if value, ok := o.Plain[name]; ok {
			text = appendText(appendText(append(text, 'p'), name), value)
		}
	}
	return sha256.Sum256(text), nil
}

// appendText appends s with its length, so that no two lists of texts look alike.
func appendText(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...) //nolint:gosec // bounded by the request
}
