package forwardtest

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// Str is bytes that msgpack calls str.
type Str string

// Bin is bytes that msgpack calls bin.
type Bin string

// Ext is an extension, as EventTime is.
type Ext struct {
	Type int8
	Data string
}

// Pair is one entry of a map, whose order is kept.
type Pair struct{ Key, Value any }

const maxLen = 64 << 20

// Decode reads one value: nil, bool, int64, uint64, float64, Str, Bin, Ext, []any or []Pair.
func Decode(r *bufio.Reader) (any, error) {
	c, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	switch {
	case c < 0x80:
		return int64(c), nil
	case c < 0x90:
		return pairs(r, uint64(c&0xf))
	case c < 0xa0:
		return array(r, uint64(c&0xf))
	case c < 0xc0:
		s, err := bytesOf(r, uint64(c&0x1f))
		return Str(s), err
	case c >= 0xe0:
		return int64(int8(c)), nil
	}
	switch c {
	case 0xc0:
		return nil, nil
	case 0xc2, 0xc3:
		return c == 0xc3, nil
	case 0xcc, 0xcd, 0xce, 0xcf:
		return number(r, 1<<(c-0xcc))
	case 0xd0, 0xd1, 0xd2, 0xd3:
		size := 1 << (c - 0xd0)
		n, err := number(r, size)
		shift := 64 - 8*size
		return int64(n<<shift) >> shift, err
	case 0xca:
		n, err := number(r, 4)
		return float64(math.Float32frombits(uint32(n))), err
	case 0xcb:
		n, err := number(r, 8)
		return math.Float64frombits(n), err
	case 0xd4, 0xd5, 0xd6, 0xd7, 0xd8:
		return ext(r, 1<<(c-0xd4))
	}
	return long(r, c)
}

// lengths has the bytes of the length of what is longer than its first byte can say.
var lengths = map[byte]int{0xc4: 1, 0xc5: 2, 0xc6: 4, 0xc7: 1, 0xd9: 1, 0xda: 2, 0xdb: 4, 0xdc: 2, 0xdd: 4, 0xde: 2, 0xdf: 4}

// long reads the value that begins with c and has a length.
func long(r *bufio.Reader, c byte) (any, error) {
	size, ok := lengths[c]
	if !ok {
		return nil, fmt.Errorf("msgpack byte %#x", c)
	}
	n, err := number(r, size)
	if err != nil {
		return nil, err
	}
	switch {
	case c <= 0xc6:
		s, err := bytesOf(r, n)
		return Bin(s), err
	case c == 0xc7:
		return ext(r, n)
	case c <= 0xdb:
		s, err := bytesOf(r, n)
		return Str(s), err
	case c <= 0xdd:
		return array(r, n)
	}
	return pairs(r, n)
}

func number(r *bufio.Reader, size int) (uint64, error) {
	var b [8]byte
	_, err := io.ReadFull(r, b[8-size:])
	return binary.BigEndian.Uint64(b[:]), err
}

func bytesOf(r *bufio.Reader, n uint64) (string, error) {
	if n > maxLen {
		return "", errors.New("too long")
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return string(b), err
}

func ext(r *bufio.Reader, n uint64) (any, error) {
	t, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	data, err := bytesOf(r, n)
	return Ext{int8(t), data}, err
}

func array(r *bufio.Reader, n uint64) (any, error) {
	if n > maxLen {
		return nil, errors.New("too long")
	}
	var out []any
	for range n {
		v, err := Decode(r)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func pairs(r *bufio.Reader, n uint64) (any, error) {
	if n > maxLen {
		return nil, errors.New("too long")
	}
	var out []Pair
	for range n {
		k, err := Decode(r)
		if err != nil {
			return nil, err
		}
		v, err := Decode(r)
		if err != nil {
			return nil, err
		}
		out = append(out, Pair{k, v})
	}
	return out, nil
}

func get(v any, key string) any {
	m, _ := v.([]Pair)
	for _, p := range m {
		if p.Key == Str(key) {
			return p.Value
		}
	}
	return nil
}
