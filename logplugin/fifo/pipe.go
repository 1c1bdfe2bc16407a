package fifo

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
	LargePipe     = 256 << 10 // bytes of an enlarged pipe
	pipeIdle      = 5 * time.Second
	softPagesFile = "/proc/sys/fs/pipe-user-pages-soft"
	softPages     = 16384 // where the file says 0, which means no limit, or nothing
)

// Pipes counts the bytes of enlarged pipes.
type Pipes struct {
	Idle time.Duration // a pipe that has been empty for so long is to be made small again

	limit int64
	used  atomic.Int64
}

// NewPipes returns the count of the pipes of this process.
func NewPipes() *Pipes { return &Pipes{Idle: pipeIdle, limit: pipeLimit()} }

// Bytes returns the size of all pipes that are enlarged.
func (p *Pipes) Bytes() int64 { return p.used.Load() }

// Limit returns what Bytes stays under.
func (p *Pipes) Limit() int64 { return p.limit }

func pipeLimit() int64 {
	b, _ := os.ReadFile(softPagesFile)
	pages, _ := strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64)
	if pages <= 0 {
		pages = softPages
	}
	return pages / 4 * int64(os.Getpagesize())
}

// Pipe is the buffer of one FIFO in the kernel. Its owner calls its methods one at a time.
type Pipe struct {
	Size int // bytes

	all   *Pipes
	small int   // the size to which it goes back; 0 = it is small
	taken int64 // of all.used
}

// Enter looks at the pipe of fd. It may be large already: its last reader was killed.
func (p *Pipe) Enter(all *Pipes, fd uintptr) {
	p.all, p.Size = all, 64<<10
	if n, err := unix.FcntlInt(fd, unix.F_GETPIPE_SZ, 0); err == nil && n > 0 {
		p.Size = n
	}
	if p.Size > 64<<10 {
		p.small, p.taken = 64<<10, int64(p.Size)
		p.all.used.Add(p.taken)
	}
}

// IsLarge reports whether the pipe is enlarged.
func (p *Pipe) IsLarge() bool { return p.small != 0 }

// Grow enlarges the pipe, if that is allowed.
func (p *Pipe) Grow(fd uintptr) {
	if p.small != 0 || p.Size >= LargePipe {
		return
	}
	if p.all.used.Add(LargePipe) > p.all.limit {
		p.all.used.Add(-LargePipe)
		return
	}
	n, err := unix.FcntlInt(fd, unix.F_SETPIPE_SZ, LargePipe)
	if err != nil {
		p.all.used.Add(-LargePipe)
		return
	}
	p.small, p.Size, p.taken = p.Size, n, LargePipe
}

// Shrink makes the pipe small again. With too much in it that fails, and it is tried again after the next pause.
func (p *Pipe) Shrink(fd uintptr) {
	if n, err := unix.FcntlInt(fd, unix.F_SETPIPE_SZ, p.small); err == nil {
		p.Size = n
		p.Leave()
	}
}

// Leave gives back what the pipe has taken.
func (p *Pipe) Leave() {
	p.all.used.Add(-p.taken)
	p.taken, p.small = 0, 0
}
