package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
)

// The cursor file has two slots that are written in turn: one that was torn by a crash leaves the other.
// A slot: magic, number of gaps (u32 each), sequence, cursor, end, frames dropped, bytes dropped (u64 each), the gaps
// (three u64 each), CRC-32C of all that; little-endian. The slot with the higher sequence counts.
const (
	slotBytes  = 512
	slotMagic  = 0x31505353
	slotHeader = 4 + 4 + 5*8
	gapBytes   = 3 * 8
	maxGaps    = 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Gap is a place in the log from which frames were dropped.
type Gap struct {
	From, To int64 // positions; a reader that is at From goes on at To
	Lines    int64 // frames, of which a line over 16 KiB has several; 0 = nobody knows: a segment was removed or unreadable
}

// gap is a Gap of a Spool.
type gap struct {
	Gap
	told bool // the reader has seen it: it must not change any more
}

// mark is what a slot says.
type mark struct {
	seq          uint64
	cursor       int64
	end          int64 // of the log when this was written: the segment that shows it may have been dropped
	lines, bytes int64 // dropped so far
	gaps         []Gap
}

func (m *mark) append(dst []byte) []byte {
	start := len(dst)
	le := binary.LittleEndian
	dst = le.AppendUint32(dst, slotMagic)
	dst = le.AppendUint32(dst, uint32(len(m.gaps)))
	dst = le.AppendUint64(dst, m.seq)
	for _, v := range [...]int64{m.cursor, m.end, m.lines, m.bytes} {
		dst = le.AppendUint64(dst, uint64(v))
	}
	for _, g := range m.gaps {
		for _, v := range [...]int64{g.From, g.To, g.Lines} {
			dst = le.AppendUint64(dst, uint64(v))
		}
	}
	return le.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// readSlot returns what the slot at the start of p says, if it is whole.
func readSlot(p []byte) (m mark, ok bool) {
	le := binary.LittleEndian
	if len(p) < slotHeader+4 || le.Uint32(p) != slotMagic {
		return mark{}, false
	}
	n := le.Uint32(p[4:])
	end := slotHeader + int(n)*gapBytes
	if n > maxGaps || len(p) < end+4 || crc32.Checksum(p[:end], castagnoli) != le.Uint32(p[end:]) {
		return mark{}, false
	}
	next := func(at int) int64 { return int64(le.Uint64(p[at:])) }
	m = mark{seq: le.Uint64(p[8:]), cursor: next(16), end: next(24), lines: next(32), bytes: next(40)}
	last := int64(0)
	for i := range int(n) {
		at := slotHeader + i*gapBytes
		g := Gap{next(at), next(at + 8), next(at + 16)}
		if g.From < last || g.To < g.From || g.Lines < 0 {
			return mark{}, false
		}
		last = g.To
		m.gaps = append(m.gaps, g)
	}
	return m, m.cursor >= 0 && m.end >= 0 && m.lines >= 0 && m.bytes >= 0
}

// readMark returns the newest whole slot of a cursor file. A missing file is not an error.
func readMark(path string) (m mark, ok bool, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return mark{}, false, nil
	}
	if err != nil {
		return mark{}, false, err
	}
	for at := 0; at+slotBytes <= len(b) && at < 2*slotBytes; at += slotBytes {
		if slot, whole := readSlot(b[at : at+slotBytes]); whole && (!ok || slot.seq > m.seq) {
			m, ok = slot, true
		}
	}
	if !ok {
		return mark{}, false, fmt.Errorf("cursor file %s: no whole slot in it", path)
	}
	return m, true, nil
}

// cursorFile writes slots. It is opened by its first write, and again after one that failed.
type cursorFile struct {
	path string
	seq  uint64
	f    *os.File
	buf  []byte
}

func (c *cursorFile) write(m *mark) error {
	if c.f == nil {
		f, err := os.OpenFile(c.path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		// Both slots get their block now, so that a full disk cannot refuse a cursor.
		if fi, err := f.Stat(); err != nil || fi.Size() < 2*slotBytes {
			if _, err := f.WriteAt(make([]byte, 2*slotBytes), 0); err != nil {
				f.Close()
				return err
			}
		}
		c.f = f
	}
	m.seq = c.seq + 1
	c.buf = m.append(c.buf[:0])
	if _, err := c.f.WriteAt(c.buf, int64(m.seq%2)*slotBytes); err != nil {
		c.close()
		return err
	}
	c.seq = m.seq
	return nil
}

func (c *cursorFile) close() {
	if c.f != nil {
		c.f.Close()
		c.f = nil
	}
}
