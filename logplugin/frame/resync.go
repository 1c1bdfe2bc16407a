package frame

import "bytes"

const (
	streamStart = "\x0a\x06std"             // tag of the source, its length, and what both names begin with
	streamBytes = len("\x0a\x06stdout\x10") // with the tag of the time
)

// Resync looks for the next frame in buf, after Decode or Size has found none at its start. It returns how many bytes
// to skip, and whether a frame follows them. Without one the rest of buf, at most a few bytes, may be the beginning of
// a frame: call again when more bytes have come.
//
// What it takes for a frame says so in its first fields, as the daemon writes them; if its end is in buf it also
// decodes, and what follows it can be a frame or is a tail of zeros, as a crash of the host leaves them. Text
// of a container that looks like a frame therefore passes only if it is a whole one with another behind it.
func Resync(buf []byte) (skip int, found bool) {
	for at := HeaderBytes; at < len(buf); {
		i := bytes.Index(buf[at:], []byte(streamStart))
		if i < 0 {
			break
		}
		at += i
		start := at - HeaderBytes
		if len(buf)-at < streamBytes {
			return start, false
		}
		if isFrame(buf[start:]) {
			return start, true
		}
		at++
	}
	return max(0, len(buf)-HeaderBytes-streamBytes+1), false
}

// isFrame reports whether buf, which holds the first fields, starts with a frame as far as can be seen.
func isFrame(buf []byte) bool {
	n, err := Size(buf)
	p := buf[HeaderBytes:]
	if err != nil || !namesStream(p) || p[streamBytes-1] != tagTime {
		return false
	}
	if len(buf) < n {
		return true
	}
	var e Entry
	if !e.parse(buf[HeaderBytes:n]) {
		return false
	}
	next := buf[n:]
	if len(next) >= HeaderBytes && bytes.Equal(next[:HeaderBytes], make([]byte, HeaderBytes)) {
		return true
	}
	_, err = Size(next)
	return err != ErrGarbage //nolint:errorlint // the two errors of Size are never wrapped
}

// namesStream reports whether a message starts with stdout or stderr as its source, as far as it is there.
func namesStream(p []byte) bool {
	p = p[:min(len(p), len("\x0a\x06stdout"))]
	return bytes.HasPrefix([]byte("\x0a\x06stdout"), p) || bytes.HasPrefix([]byte("\x0a\x06stderr"), p)
}
