// Package frame reads and writes what the Docker daemon puts into a log driver's FIFO: a uint32 in big-endian order,
// the length, and then a protobuf LogEntry of that length.
//
// Use Decode on bytes that lie in a buffer, Joiner to make whole lines of the pieces that a long line comes in, and
// Size where lines are only counted. Nothing here allocates per line, keeps the caller's bytes, or trusts a length:
// bytes that cannot be a frame are told apart from a frame whose end is still to come, and Resync finds the next frame
// after them.
//
// The message is daemon/logger/internal/logdriver/entry.proto of moby; the fields have been the same since 2017.
package frame

import (
	"encoding/binary"
	"errors"
)

// HeaderBytes is the length of the length.
const HeaderBytes = 4

// MaxBytes is the longest message that is taken for one. The daemon cuts lines at 16 KiB, so its frames stay under 17.
const MaxBytes = 1 << 20

// Above this length a frame must name a stream of Docker's before more of it is awaited: no frame of a daemon known
// today is that long, and text that is read as a length must not make a reader wait for a megabyte.
const usualBytes = 32 << 10

var (
	// ErrShort says that the bytes may be a frame, but its end is not there yet.
	ErrShort = errors.New("frame is not complete")
	// ErrGarbage says that no frame starts here, whatever follows.
	ErrGarbage = errors.New("the bytes are not a frame")
)

// Entry is one decoded LogEntry. Its slices point into the buffer that was decoded: they are valid until that changes.
type Entry struct {
	Source   []byte // "stdout", "stderr"
	TimeNano int64  // when the daemon read the line; not monotonic, and negative before 1970
	Line     []byte // no newline at the end; a terminal's may end in \r, see TrimReturn
	Partial  bool   // a piece of a longer line; with an id the last piece says so, too

	PartialID []byte // nil = the daemon is older than 18.06 and sends no ids
	Ordinal   int32  // counts the pieces of one line from 1
	Last      bool   // the last piece of a line; at the end of a stream it may never come

	// Pos and Floor are not in the frame. A Joiner sets Pos to the position of the frame that holds the first byte of Line, and Floor
	// to the last position up to there that is not inside a line of the other stream.
	Pos, Floor int64
}

// Span says where something begins that is delivered whole: a line, or an event of several.
type Span struct {
	Pos   int64 // of its first frame
	Floor int64 // the last position up to Pos where a cursor is not inside anything that was delivered
}

// TrimReturn removes the carriage return that a terminal puts at the end of each line: a line of `docker run -t` ends in
// \r\n, and the daemon takes the \n alone. One inside a line, or at the end of a piece that is not the last, stays.
func (e *Entry) TrimReturn() {
	if n := len(e.Line); n > 0 && e.Line[n-1] == '\r' && (!e.Partial || e.Last) {
		e.Line = e.Line[:n-1]
	}
}

// Tags of the fields: number << 3 | wire type, 0 for numbers and 2 for counted bytes.
const (
	tagSource   = 1<<3 | 2
	tagTime     = 2 << 3
	tagLine     = 3<<3 | 2
	tagPartial  = 4 << 3
	tagMetadata = 5<<3 | 2

	tagLast    = 1 << 3
	tagID      = 2<<3 | 2
	tagOrdinal = 3 << 3
)

// Size returns the length of the frame at the start of buf, header included, without decoding it. Only the header and
// a few bytes need be there. Errors: ErrShort, ErrGarbage.
func Size(buf []byte) (int, error) {
	if len(buf) < HeaderBytes {
		// A first byte other than 0 is a length of 16 MiB and more.
		if len(buf) > 0 && buf[0] != 0 {
			return 0, ErrGarbage
		}
		return 0, ErrShort
	}
	size := binary.BigEndian.Uint32(buf)
	if size == 0 || size > MaxBytes {
		return 0, ErrGarbage
	}
	// Every daemon writes the fields in order, and the source is never empty.
	if len(buf) > HeaderBytes && buf[HeaderBytes] != tagSource {
		return 0, ErrGarbage
	}
	if size > usualBytes && !namesStream(buf[HeaderBytes:]) {
		return 0, ErrGarbage
	}
	return HeaderBytes + int(size), nil
}

// Decode reads the frame at the start of buf into e and returns its length. Fields that it does not know are skipped.
// Errors: ErrShort, ErrGarbage; e is then worth nothing.
func Decode(buf []byte, e *Entry) (int, error) {
	n, err := Size(buf)
	if err != nil {
		return 0, err
	}
	if len(buf) < n {
		return 0, ErrShort
	}
	*e = Entry{}
	if !e.parse(buf[HeaderBytes:n]) {
		return 0, ErrGarbage
	}
	return n, nil
}

func (e *Entry) parse(p []byte) bool {
	for len(p) > 0 {
		tag, n := varint(p)
		if n == 0 {
			return false
		}
		p = p[n:]
		var v uint64
		var b []byte
		switch tag {
		case tagSource, tagLine, tagMetadata:
			if b, n = bytesOf(p); n == 0 {
				return false
			}
		case tagTime, tagPartial:
			if v, n = varint(p); n == 0 {
				return false
			}
		default:
			if n = skip(p, tag); n < 0 {
				return false
			}
		}
		p = p[n:]
		switch tag {
		case tagSource:
			e.Source = b
		case tagLine:
			e.Line = b
		case tagMetadata:
			if !e.parseMetadata(b) {
				return false
			}
		case tagTime:
			e.TimeNano = int64(v)
		case tagPartial:
			e.Partial = v != 0
		}
	}
	return true
}

func (e *Entry) parseMetadata(p []byte) bool {
	e.PartialID = p[:0] // there is metadata, even if it names no id
	for len(p) > 0 {
		tag, n := varint(p)
		if n == 0 {
			return false
		}
		p = p[n:]
		var v uint64
		switch tag {
		case tagID:
			var b []byte
			if b, n = bytesOf(p); n == 0 {
				return false
			}
			e.PartialID = b
		case tagLast, tagOrdinal:
			if v, n = varint(p); n == 0 {
				return false
			}
			if tag == tagLast {
				e.Last = v != 0
			} else {
				e.Ordinal = int32(v)
			}
		default:
			if n = skip(p, tag); n < 0 {
				return false
			}
		}
		p = p[n:]
	}
	return true
}

// varint returns the number at the start of p and its length, 0 if there is none.
func varint(p []byte) (v uint64, n int) {
	if len(p) > 0 && p[0] < 0x80 {
		return uint64(p[0]), 1
	}
	v, n = binary.Uvarint(p)
	return v, max(n, 0)
}

// bytesOf returns the counted bytes at the start of p and their length with the count, 0 if they are not all there.
func bytesOf(p []byte) (b []byte, n int) {
	size, n := varint(p)
	if n == 0 || size > uint64(len(p)-n) {
		return nil, 0
	}
	end := n + int(size)
	return p[n:end:end], end
}

// skip returns the length of the value of a field that has this tag, -1 if it is none. Groups are not used by anybody.
func skip(p []byte, tag uint64) int {
	n := 0
	switch tag & 7 {
	case 0:
		if _, n = varint(p); n == 0 {
			return -1
		}
	case 1:
		n = 8
	case 2:
		if _, n = bytesOf(p); n == 0 {
			return -1
		}
	case 5:
		n = 4
	default:
		return -1
	}
	if tag>>3 == 0 || n > len(p) {
		return -1
	}
	return n
}

// AppendFrame appends e as a frame to dst, with the bytes that the daemon would write.
func AppendFrame(dst []byte, e *Entry) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	if len(e.Source) > 0 {
		dst = appendBytes(dst, tagSource, e.Source)
	}
	if e.TimeNano != 0 {
		dst = appendNumber(dst, tagTime, uint64(e.TimeNano))
	}
	if len(e.Line) > 0 {
		dst = appendBytes(dst, tagLine, e.Line)
	}
	if e.Partial {
		dst = appendNumber(dst, tagPartial, 1)
	}
	if e.PartialID != nil {
		var metadata [128]byte // an id has 64 bytes
		m := metadata[:0]
		if e.Last {
			m = appendNumber(m, tagLast, 1)
		}
		if len(e.PartialID) > 0 {
			m = appendBytes(m, tagID, e.PartialID)
		}
		if e.Ordinal != 0 {
			m = appendNumber(m, tagOrdinal, uint64(e.Ordinal))
		}
		dst = appendBytes(dst, tagMetadata, m)
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-HeaderBytes))
	return dst
}

func appendNumber(dst []byte, tag byte, v uint64) []byte {
	return binary.AppendUvarint(append(dst, tag), v)
}

func appendBytes(dst []byte, tag byte, b []byte) []byte {
	return append(appendNumber(dst, tag, uint64(len(b))), b...)
}
