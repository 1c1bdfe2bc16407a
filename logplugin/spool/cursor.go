package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
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

// Text is the line that stands where the frames are missing.
func (g Gap) Text() string {
	if g.Lines == 0 { // they could not be counted
		return fmt.Sprintf("secretref: %d bytes of lines are missing here: a part of the spool was lost", g.To-g.From)
	}
	return fmt.Sprintf("secretref: %d lines are missing here: the spool was full", g.Lines)
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

// errNoSlot says that what a cursor file holds is not a cursor.
var errNoSlot = errors.New("no whole slot in it")

// readMark returns the newest whole slot of a cursor file. A missing or empty file is not an error, and nor is one of
// zeros: the process was killed before it wrote the first slot. After errNoSlot there is nothing to be read in it; every other error passes.
func readMark(fsys FileSystem, path string) (m mark, ok bool, err error) {
	b, err := readAll(fsys, path, 2*slotBytes)
	if isAbsent(err) || err == nil && len(bytes.Trim(b, "\x00")) == 0 {
		return mark{}, false, nil
	}
	if err != nil {
		return mark{}, false, err
	}
	for at := 0; at+slotBytes <= len(b); at += slotBytes {
		if slot, whole := readSlot(b[at : at+slotBytes]); whole && (!ok || slot.seq > m.seq) {
			m, ok = slot, true
		}
	}
	if !ok {
		return mark{}, false, fmt.Errorf("cursor file %s: %w", path, errNoSlot)
	}
	return m, true, nil
}

// cursorFile writes slots. It is opened by a write, and again after one that failed.
type cursorFile struct {
	path string
	seq  uint64
	f    File
	used bool // since closeUnused has looked
	buf  []byte
}

func (c *cursorFile) write(st *Store, m *mark) error {
	if err := c.open(st); err != nil {
		return err
	}
	m.seq = c.seq + 1
	c.buf = m.append(c.buf[:0])
	c.used = true
	if _, err := c.f.WriteAt(c.buf, int64(m.seq%2)*slotBytes); err != nil {
		c.close(st)
		return err
	}
	c.seq = m.seq
	return nil
}

func (c *cursorFile) open(st *Store) error {
	if c.f != nil {
		return nil
	}
	f, err := st.openFile(c.path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	// Both slots get their block now, so that a full disk cannot refuse a cursor.
	size, err := f.Size()
	if err == nil && size < 2*slotBytes {
		_, err = f.WriteAt(make([]byte, 2*slotBytes-size), size)
	}
	if err != nil {
		st.closeFile(f)
		return err
	}
	c.f = f
	return nil
}

func (c *cursorFile) close(st *Store) {
	st.closeFile(c.f)
	c.f = nil
}
