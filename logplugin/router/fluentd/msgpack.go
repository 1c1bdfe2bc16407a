package fluentd

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Reading the small messages of msgpack that a receiver sends: https://github.com/msgpack/msgpack/blob/master/spec.md

// bound is how much a receiver may send in one message. Everything is counted before memory is taken for it.
type bound struct{ bytes, items int }

var (
	ofHandshake = bound{bytes: 8 << 10, items: 64} // HELO and PONG have less than 500 bytes
	ofAck       = bound{bytes: 1 << 10, items: 16} // {"ack": chunk}
)

const maxNest = 4

var (
	errMsgpack = errors.New("the receiver's answer is not a message of the Forward protocol")
	errBound   = fmt.Errorf("%w: it is too long or too deep", errMsgpack)
)

// decoder reads one message.
type decoder struct {
	r    *bufio.Reader
	left bound
}

// readMessage reads one value: nil, bool, int64, string (of str and of bin), []any, or map[string]any. Floats, extensions
// and keys that are not strings are not in the protocol's answers, and refused.
func readMessage(r *bufio.Reader, b bound) (any, error) {
	d := decoder{r, b}
	return d.value(0)
}

// spend counts bytes and items that are to be read.
func (d *decoder) spend(bytes, items int) error {
	if bytes > d.left.bytes || items > d.left.items {
		return errBound
	}
	d.left.bytes -= bytes
	d.left.items -= items
	return nil
}

func (d *decoder) value(nest int) (any, error) {
	if nest > maxNest {
		return nil, errBound
	}
	if err := d.spend(1, 1); err != nil {
		return nil, err
	}
	c, err := d.r.ReadByte()
	if err != nil {
		return nil, err
	}
	switch {
	case c < 0x80:
		return int64(c), nil
	case c < 0x90:
		return d.mapping(uint64(c&0xf), nest)
	case c < 0xa0:
		return d.array(uint64(c&0xf), nest)
	case c < 0xc0:
		return d.text(uint64(c & 0x1f))
	case c >= 0xe0:
		return int64(int8(c)), nil
	}
	switch c {
	case 0xc0:
		return nil, nil
	case 0xc2, 0xc3:
		return c == 0xc3, nil
	case 0xcc, 0xcd, 0xce, 0xcf:
		n, err := d.uint(1 << (c - 0xcc))
		return int64(n), err
	case 0xd0, 0xd1, 0xd2, 0xd3:
		size := 1 << (c - 0xd0)
		n, err := d.uint(size)
		shift := 64 - 8*size
		return int64(n<<shift) >> shift, err
	}
	return d.long(c, nest)
}

// lengths has the bytes of the length of what is longer than its first byte can say.
var lengths = map[byte]int{0xc4: 1, 0xc5: 2, 0xc6: 4, 0xd9: 1, 0xda: 2, 0xdb: 4, 0xdc: 2, 0xdd: 4, 0xde: 2, 0xdf: 4}

// long reads the value that begins with c and has a length.
func (d *decoder) long(c byte, nest int) (any, error) {
	size, ok := lengths[c]
	if !ok {
		return nil, errMsgpack
	}
	n, err := d.uint(size)
	if err != nil {
		return nil, err
	}
	switch c {
	case 0xdc, 0xdd:
		return d.array(n, nest)
	case 0xde, 0xdf:
		return d.mapping(n, nest)
	}
	return d.text(n)
}

func (d *decoder) uint(size int) (uint64, error) {
	var b [8]byte
	if err := d.fill(b[8-size:]); err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(b[:]), nil
}

func (d *decoder) fill(b []byte) error {
	if err := d.spend(len(b), 0); err != nil {
		return err
	}
	_, err := io.ReadFull(d.r, b)
	return cutShort(err)
}

func (d *decoder) text(n uint64) (string, error) {
	if n > uint64(d.left.bytes) {
		return "", errBound
	}
	b := make([]byte, n)
	err := d.fill(b)
	return string(b), err
}

func (d *decoder) array(n uint64, nest int) ([]any, error) {
	if n > uint64(d.left.items) {
		return nil, errBound
	}
	out := make([]any, 0, n)
	for range n {
		v, err := d.value(nest + 1)
		if err != nil {
			return nil, cutShort(err)
		}
		out = append(out, v)
	}
	return out, nil
}

func (d *decoder) mapping(n uint64, nest int) (map[string]any, error) {
	if n > uint64(d.left.items/2) {
		return nil, errBound
	}
	out := make(map[string]any, n)
	for range n {
		k, err := d.value(nest + 1)
		if err != nil {
			return nil, cutShort(err)
		}
		v, err := d.value(nest + 1)
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

// cutShort distinguishes an end inside a value from one between two.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
