package fluentd

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// What there is of msgpack (https://github.com/msgpack/msgpack/blob/master/spec.md): appending what the Forward protocol
// sends, and reading the small messages that a receiver sends.

func appendArray(dst []byte, n int) []byte { return append(dst, 0x90|byte(n)) } // n < 16

func appendMap(dst []byte, n int) []byte {
	switch {
	case n < 16:
		return append(dst, 0x80|byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, 0xde), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, 0xdf), uint32(n))
}

func appendStr[T []byte | string](dst []byte, s T) []byte {
	switch n := len(s); {
	case n < 32:
		dst = append(dst, 0xa0|byte(n))
	case n <= math.MaxUint8:
		dst = append(dst, 0xd9, byte(n))
	case n <= math.MaxUint16:
		dst = binary.BigEndian.AppendUint16(append(dst, 0xda), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint32(append(dst, 0xdb), uint32(n))
	}
	return append(dst, s...)
}

// appendBinHead appends what comes before n bytes of bin.
func appendBinHead(dst []byte, n int) []byte {
	switch {
	case n <= math.MaxUint8:
		return append(dst, 0xc4, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, 0xc5), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, 0xc6), uint32(n))
}

func appendUint(dst []byte, n int) []byte {
	if n < 128 {
		return append(dst, byte(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, 0xce), uint32(n))
}

// Bounds of what a receiver may send.
const (
	maxBytes = 4 << 10 // of one str or bin
	maxItems = 32      // of one array or map
	maxNest  = 4
)

var errMsgpack = errors.New("the receiver sends what is no message of the Forward protocol")

// readValue reads one value: nil, bool, int64, string (of str and of bin), []any, or map[string]any. Floats, extensions
// and keys that are no strings are not in the protocol's answers, and refused.
func readValue(r *bufio.Reader, nest int) (any, error) {
	if nest > maxNest {
		return nil, errMsgpack
	}
	c, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	switch {
	case c < 0x80:
		return int64(c), nil
	case c < 0x90:
		return readMap(r, int(c&0xf), nest)
	case c < 0xa0:
		return readArray(r, int(c&0xf), nest)
	case c < 0xc0:
		return readText(r, uint64(c&0x1f))
	case c >= 0xe0:
		return int64(int8(c)), nil
	}
	switch c {
	case 0xc0:
		return nil, nil
	case 0xc2, 0xc3:
		return c == 0xc3, nil
	case 0xc4, 0xd9, 0xc5, 0xda, 0xc6, 0xdb:
		n, err := readUint(r, map[byte]int{0xc4: 1, 0xd9: 1, 0xc5: 2, 0xda: 2, 0xc6: 4, 0xdb: 4}[c])
		if err != nil {
			return nil, err
		}
		return readText(r, n)
	case 0xcc, 0xcd, 0xce, 0xcf:
		n, err := readUint(r, 1<<(c-0xcc))
		return int64(n), err
	case 0xd0, 0xd1, 0xd2, 0xd3:
		size := 1 << (c - 0xd0)
		n, err := readUint(r, size)
		shift := 64 - 8*size
		return int64(n<<shift) >> shift, err
	case 0xdc, 0xde:
		n, err := readUint(r, 2)
		if err != nil {
			return nil, err
		}
		if c == 0xdc {
			return readArray(r, int(n), nest)
		}
		return readMap(r, int(n), nest)
	}
	return nil, errMsgpack
}

func readUint(r *bufio.Reader, size int) (uint64, error) {
	var b [8]byte
	if _, err := io.ReadFull(r, b[8-size:]); err != nil {
		return 0, cutShort(err)
	}
	return binary.BigEndian.Uint64(b[:]), nil
}

func readText(r *bufio.Reader, n uint64) (string, error) {
	if n > maxBytes {
		return "", fmt.Errorf("%w: a text of %d bytes", errMsgpack, n)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return string(b), cutShort(err)
}

func readArray(r *bufio.Reader, n, nest int) ([]any, error) {
	if n > maxItems {
		return nil, fmt.Errorf("%w: an array of %d", errMsgpack, n)
	}
	out := make([]any, 0, n)
	for range n {
		v, err := readValue(r, nest+1)
		if err != nil {
			return nil, cutShort(err)
		}
		out = append(out, v)
	}
	return out, nil
}

func readMap(r *bufio.Reader, n, nest int) (map[string]any, error) {
	if n > maxItems {
		return nil, fmt.Errorf("%w: a map of %d", errMsgpack, n)
	}
	out := make(map[string]any, n)
	for range n {
		k, err := readValue(r, nest+1)
		if err != nil {
			return nil, cutShort(err)
		}
		v, err := readValue(r, nest+1)
		if err != nil {
			return nil, cutShort(err)
		}
		name, ok := k.(string)
		if !ok {
			return nil, errMsgpack
		}
		out[name] = v
	}
	return out, nil
}

// cutShort tells an end inside of a value from one between two.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
