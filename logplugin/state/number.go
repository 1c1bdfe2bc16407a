package state

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// The number that the next session gets is kept in the file of the lock, behind the process's own number. That file is open
// for as long as the process lives, so a number can be kept when no file can be opened. It is kept in a file of its own, too: a version
// without numbers empties the file of the lock. It is written once for numberBlock sessions: after the end of a process some numbers are
// not used, which does no harm.
const (
	numberName   = "number"
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
	d.begun = true
	if d.lock != nil && d.next > d.reserved {
		d.reserve()
	}
	return n
}

// raise makes the next number greater than n. Call it under mu.
func (d *Dir) raise(n uint64) { d.next = max(d.next, n+1) }

// readNumber reads the first number that is free. Call it under mu.
func (d *Dir) readNumber() {
	first, known := parseNumber(d.lock, numberOffset)
	f, err := d.fs.Open(filepath.Join(d.path, numberName), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	switch {
	case err == nil:
		defer f.Close()
		second, _ := parseNumber(f, 0)
		first = max(first, second)
	case !known && !errors.Is(err, fs.ErrNotExist):
		first = numberUnknown
	}
	d.next = max(d.next, first)
	d.reserved = d.next
}

// parseNumber returns the number that a file has at a position; false means that there is none.
func parseNumber(f File, at int64) (uint64, bool) {
	b := make([]byte, 32)
	n, _ := f.ReadAt(b, at) // what cannot be read is not a number
	first, err := strconv.ParseUint(strings.TrimSpace(string(b[:n])), 10, 63)
	return first, err == nil
}

// reserve writes down that a block of numbers is in use. If that fails it is tried again with the next number; until
// then the states of the sessions have the numbers, too. Call it under mu.
func (d *Dir) reserve() {
	end := d.next + numberBlock
	text := []byte(strconv.FormatUint(end, 10) + "\n")
	n, err := d.lock.WriteAt(text, numberOffset)
	if err != nil || n < len(text) {
		return
	}
	if d.write(filepath.Join(d.path, numberName), text) == nil {
		d.reserved = end
	}
}

// number gives sessions that a version without numbers has begun the next ones, in the order in which they began, and writes them down. It
// does so before this process has begun a session: so they come after those that earlier processes with numbers have begun. all is in order.
func (d *Dir) number(all []Session) {
	for i := range all {
		s := &all[i]
		if s.Number != 0 || s.Options.Router == "" { // of a newer version: its file stays as it is
			continue
		}
		s.Number = d.Number()
		_ = d.Save(*s) // else the next process gives another one
	}
}
