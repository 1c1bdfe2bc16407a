package hostcache

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/secret"
	"github.com/secretref/secretref/shared/ttl"
)

// entry is the outcome of one fetch. It has a value, a failure, or both: then the value stands in for the failure.
type entry struct {
	recorded time.Time // when the outcome was known; those who began to wait before then take it
	read     time.Time // when AWS gave the value
	window   ttl.Window
	hasValue bool
	value    secret.Value
	version  string
	failure  *fault.Error
	boot     time.Duration // recorded, on the clock that counts from the start of the host
}

const (
	flagValue   = 1
	flagFailure = 2
	flagBoot    = 4 // always set; an entry of a version that did not write boot is none
)

var errEntry = errors.New("not a cache entry")

func (e *entry) isStale() bool { return e.hasValue && e.failure != nil }

func (e *entry) answer() Answer {
	a := Answer{Payload: e.value, VersionID: e.version, Read: e.read, Window: e.window}
	if e.isStale() {
		a.Stale, a.StaleErr = true, e.failure
	} else {
		a.Err = e.failure
	}
	return a
}

// appendTo appends the entry: four times in nanoseconds since 1970 (big-endian), a byte of flags, the time since
// the start of the host, then texts behind their lengths: version and value, and kind, op, region, role, cause and hint of the failure.
func (e *entry) appendTo(b []byte) []byte {
	for _, t := range []time.Time{e.recorded, e.read, e.window.Fresh, e.window.End} {
		b = binary.BigEndian.AppendUint64(b, uint64(t.UnixNano())) //nolint:gosec // bits, read back as they are
	}
	flags := byte(flagBoot)
	if e.hasValue {
		flags |= flagValue
	}
	if e.failure != nil {
		flags |= flagFailure
	}
	b = append(b, flags)
	b = binary.BigEndian.AppendUint64(b, uint64(e.boot)) //nolint:gosec // bits, read back as they are
	if e.hasValue {
		b = appendText(appendText(b, e.version), e.value.Reveal())
	}
	if f := e.failure; f != nil {
		for _, s := range []string{string(f.Kind), f.Op, f.Region, f.Role, f.Cause, f.Hint} {
			b = appendText(b, s)
		}
	}
	return b
}

// parseEntry reads what appendTo wrote, and nothing else.
func parseEntry(b []byte) (entry, error) {
	var e entry
	for _, t := range []*time.Time{&e.recorded, &e.read, &e.window.Fresh, &e.window.End} {
		if len(b) < 8 {
			return entry{}, errEntry
		}
		*t = time.Unix(0, int64(binary.BigEndian.Uint64(b))) //nolint:gosec // bits, as they were written
		b = b[8:]
	}
	if len(b) < 9 {
		return entry{}, errEntry
	}
	flags := b[0]
	if flags <= flagBoot || flags > flagBoot|flagValue|flagFailure {
		return entry{}, errEntry
	}
	e.boot = time.Duration(binary.BigEndian.Uint64(b[1:])) //nolint:gosec // bits, as they were written
	b = b[9:]
	ok := true
	text := func() (s string) {
		if ok {
			s, b, ok = cutText(b)
		}
		return s
	}
	if flags&flagValue != 0 {
		e.hasValue, e.version, e.value = true, text(), secret.New(text())
	}
	if flags&flagFailure != 0 {
		e.failure = &fault.Error{Kind: fault.Kind(text()), Op: text(), Region: text(), Role: text(), Cause: text(), Hint: text()}
		ok = ok && slices.Contains(fault.Kinds(), e.failure.Kind)
	}
	if !ok || len(b) != 0 {
		return entry{}, errEntry
	}
	return e, nil
}

// shift moves the entry to a wall clock that was stepped by d since it was recorded.
func (e *entry) shift(d time.Duration) {
	for _, t := range []*time.Time{&e.recorded, &e.read, &e.window.Fresh, &e.window.End} {
		*t = t.Add(d)
	}
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func cutText(b []byte) (text string, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return "", nil, false
	}
	b = b[size:]
	return string(b[:n]), b[n:], true
}
