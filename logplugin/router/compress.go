package router

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// The encodings of a Compressor, as HTTP calls them.
const (
	Gzip   = "gzip"
	Zstd   = "zstd"
	Snappy = "snappy" // one block, as Fluent Bit sends it
)

// DefaultLevel is the level of a Compressor that costs half the time of zlib's 6, for 3 % more bytes of web server logs.
const DefaultLevel = -1

const (
	maxIdleWriters = 2       // a gzip writer takes up to 800 KiB; more requests at once are compressed with one that is thrown away
	maxKept        = 1 << 20 // of the memory of a compressed body
	zstdWindow     = 1 << 20 // bodies are little larger, and the memory of an encoder grows with it
)

// Compressor compresses request bodies and reuses its memory. It is safe for concurrent use.
type Compressor struct {
	encoding string
	level    int

	mu   sync.Mutex
	idle []*Compressed
}

// NewCompressor returns one for an encoding and a level of it, or DefaultLevel.
func NewCompressor(encoding string, level int) *Compressor {
	return &Compressor{encoding: encoding, level: level}
}

// Compressed is one compressed body. Its bytes are valid until Release.
type Compressed struct {
	c *Compressor
	w interface {
		io.WriteCloser
		Reset(io.Writer)
	}
	out bytes.Buffer
}

// Compress returns the parts of a body, compressed.
func (c *Compressor) Compress(parts ...[]byte) (*Compressed, error) {
	z, err := c.writer()
	if err != nil {
		return nil, fmt.Errorf("compress with %s: %w", c.encoding, err)
	}
	z.out.Reset()
	z.w.Reset(&z.out)
	for _, p := range parts {
		if err == nil {
			_, err = z.w.Write(p)
		}
	}
	if err == nil {
		err = z.w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("compress with %s: %w", c.encoding, err)
	}
	return z, nil
}

// Bytes returns the compressed body.
func (z *Compressed) Bytes() []byte { return z.out.Bytes() }

// Release gives the memory back.
func (z *Compressed) Release() {
	z.c.mu.Lock()
	defer z.c.mu.Unlock()
	if len(z.c.idle) < maxIdleWriters && z.out.Cap() <= maxKept {
		z.c.idle = append(z.c.idle, z)
	}
}

func (c *Compressor) writer() (*Compressed, error) {
	c.mu.Lock()
	if n := len(c.idle); n > 0 {
		z := c.idle[n-1]
		c.idle = c.idle[:n-1]
		c.mu.Unlock()
		return z, nil
	}
	c.mu.Unlock()
	z := &Compressed{c: c}
	var err error
	switch c.encoding {
	case Snappy:
		z.w = &block{}
		return z, nil
	case Zstd:
		level := zstd.SpeedFastest
		if c.level != DefaultLevel {
			level = zstd.EncoderLevelFromZstd(c.level)
		}
		z.w, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdWindow), zstd.WithLowerEncoderMem(true))
		return z, err
	}
	level := c.level
	if level == DefaultLevel {
		level = 2
	}
	z.w, err = gzip.NewWriterLevel(io.Discard, level)
	return z, err
}

// block writes all that it is given as one block of snappy.
type block struct {
	to       io.Writer
	in, done []byte
}

// Reset implements the interface of a Compressed.
func (b *block) Reset(to io.Writer) { b.to, b.in = to, b.in[:0] }

// Write implements io.Writer.
func (b *block) Write(p []byte) (int, error) {
	b.in = append(b.in, p...)
	return len(p), nil
}

// Close implements io.Closer.
func (b *block) Close() error {
	if n := s2.MaxEncodedLen(len(b.in)); cap(b.done) < n {
		b.done = make([]byte, n)
	}
	_, err := b.to.Write(s2.EncodeSnappy(b.done[:cap(b.done)], b.in))
	if cap(b.done) > maxKept {
		b.in, b.done = nil, nil
	}
	return err
}
