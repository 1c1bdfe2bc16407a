package state

import (
	"strconv"
	"strings"
)

// The number that the next session gets is kept in the file of the lock, behind the process's own number. That file is open
// for as long as the process lives, so a number needs no further file. It is written once for numberBlock sessions: after
// the end of a process some numbers are not used, which does no harm.
const (
	numberOffset = 32
	numberBlock  = 1000
	// Without the file the numbers begin far above all that can have been given.
	numberUnknown = 1 << 40
)

// Number returns the place of a new session in the order of all: it is greater than that of every session before it, in this process and in
// earlier ones, whatever the clock says.
func (d *Dir) Number() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lock == nil && d.next == 0 {
		d.next = numberUnknown
	}
	d.next = max(d.next, 1)
	n := d.next
	d.next++
	if d.lock != nil && d.next > d.reserved {
		d.reserve()
	}
	return n
}

// raise makes the next number greater than n. Call it under mu.
func (d *Dir) raise(n uint64) { d.next = max(d.next, n+1) }

// readNumber reads the first number that is free. Call it under mu.
func (d *Dir) readNumber() {
	b := make([]byte, 32)
	n, _ := d.lock.ReadAt(b, numberOffset) // an older version keeps no number
	if first, err := strconv.ParseUint(strings.TrimSpace(string(b[:n])), 10, 63); err == nil {
		d.next = max(d.next, first)
	}
	d.reserved = d.next
}

// reserve writes down that a block of numbers is in use. If that fails it is tried again with the next number; until
// then the states of the sessions have the numbers, too. Call it under mu.
func (d *Dir) reserve() {
	end := d.next + numberBlock
	text := []byte(strconv.FormatUint(end, 10) + "\n")
	if n, err := d.lock.WriteAt(text, numberOffset); err == nil && n == len(text) {
		d.reserved = end
	}
}
