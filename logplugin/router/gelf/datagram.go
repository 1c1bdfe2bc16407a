package gelf

import (
	"bytes"
	"crypto/rand"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
)

// Docker's driver sends datagrams of this size, which fit into an Ethernet frame, and cuts what is longer into chunks.
const (
	maxDatagram = 1420
	chunkHead   = 12
	maxChunks   = 128
)

// compressor makes datagrams of messages. It is used by one goroutine at a time, that of the router's turn.
type compressor struct {
	kind  string
	level int
	zip   interface {
		io.WriteCloser
		Reset(w io.Writer)
	}
	out   bytes.Buffer
	chunk [maxDatagram]byte
}

func (z *compressor) set(kind string, level int) {
	if z.kind != kind || z.level != level {
		z.kind, z.level, z.zip = kind, level, nil
	}
}

// compress returns p as one member, valid until the next call.
func (z *compressor) compress(p []byte) ([]byte, error) {
	if z.kind == "none" {
		return p, nil
	}
	if z.out.Cap() > 1<<20 {
		z.out = bytes.Buffer{}
	}
	z.out.Reset()
	var err error
	switch {
	case z.zip != nil:
		z.zip.Reset(&z.out)
	case z.kind == "zlib":
		z.zip, err = zlib.NewWriterLevel(&z.out, z.level)
	default:
		z.zip, err = gzip.NewWriterLevel(&z.out, z.level)
	}
	if err != nil {
		return nil, err
	}
	if _, err := z.zip.Write(p); err != nil {
		return nil, err
	}
	if err := z.zip.Close(); err != nil {
		return nil, err
	}
	return z.out.Bytes(), nil
}

// datagrams sends one message without the NUL that ends it on a stream: as it is, or as chunks. One that needs more chunks than the
// format allows has a shorter line.
func (z *compressor) datagrams(message []byte, write func([]byte) error) error {
	message = bytes.TrimSuffix(message, []byte{0})
	p, err := z.compress(message)
	if err != nil {
		return err
	}
	for limit := maxDatagram * maxChunks; len(p) > maxChunks*(maxDatagram-chunkHead) && limit > maxDatagram; limit /= 2 {
		if p, err = z.compress(shorten(message, limit)); err != nil {
			return err
		}
	}
	if len(p) <= maxDatagram {
		return write(p)
	}
	d := z.chunk[:]
	d[0], d[1] = 0x1e, 0x0f
	_, _ = rand.Read(d[2:10]) // never fails
	d[11] = byte((len(p) + maxDatagram - chunkHead - 1) / (maxDatagram - chunkHead))
	for i := byte(0); len(p) > 0; i++ {
		d[10] = i
		n := copy(d[chunkHead:], p)
		if err := write(d[:chunkHead+n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}
