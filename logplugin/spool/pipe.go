package spool

import (
	"bytes"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel counts the pages of all pipes of a user, and past pipe-user-pages-soft gives every new pipe of an
// unprivileged process only two of them: the pipes inside root's containers. So a pipe is enlarged only while it is
// busy, and all enlarged ones together stay under a quarter of that.
const (
	largePipe     = 256 << 10
	pipeIdle      = 5 * time.Second
	softPagesFile = "/proc/sys/fs/pipe-user-pages-soft"
	softPages     = 16384 // where the file says 0, which is no limit, or nothing
)

// pipes counts the bytes of enlarged pipes.
type pipes struct {
	limit int64
	idle  time.Duration // a pipe that has been empty for so long is made small again
	used  atomic.Int64
}

func pipeLimit() int64 {
	b, _ := os.ReadFile(softPagesFile)
	pages, _ := strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64)
	if pages <= 0 {
		pages = softPages
	}
	return pages / 4 * int64(os.Getpagesize())
}

// pipe is the FIFO of one drain.
type pipe struct {
	all   *pipes
	size  int
	small int   // the size to which it goes back; 0 = it is small
	taken int64 // of all.used
}

// enter looks at the pipe that a drain begins with. It may be large already: its reader was killed.
func (p *pipe) enter(fd uintptr) {
	p.size = 64 << 10
	if n, err := unix.FcntlInt(fd, unix.F_GETPIPE_SZ, 0); err == nil && n > 0 {
		p.size = n
	}
	if p.size > 64<<10 {
		p.small, p.taken = 64<<10, int64(p.size)
		p.all.used.Add(p.taken)
	}
}

// grow enlarges the pipe, if that is allowed.
func (p *pipe) grow(fd uintptr) {
	if p.small != 0 || p.size >= largePipe {
		return
	}
	if p.all.used.Add(largePipe) > p.all.limit {
		p.all.used.Add(-largePipe)
		return
	}
	n, err := unix.FcntlInt(fd, unix.F_SETPIPE_SZ, largePipe)
	if err != nil {
		p.all.used.Add(-largePipe)
		return
	}
	p.small, p.size, p.taken = p.size, n, largePipe
}

// shrink makes the pipe small again. With too much in it that fails, and it is tried again after the next pause.
func (p *pipe) shrink(fd uintptr) {
	if n, err := unix.FcntlInt(fd, unix.F_SETPIPE_SZ, p.small); err == nil {
		p.size = n
		p.leave()
	}
}

// leave gives back what the pipe has taken.
func (p *pipe) leave() {
	p.all.used.Add(-p.taken)
	p.taken, p.small = 0, 0
}
