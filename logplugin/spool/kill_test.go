package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/fifo"
	"github.com/secretref/secretref/logplugin/frame"
	"github.com/secretref/secretref/shared/polltest"
)

// childEnv makes the test program a driver that is killed: its value is the state directory, the FIFO, and what to do.
const maxLines = 10000 // between two kills

const childEnv = "SECRETREF_TEST_SPOOL_CHILD"

func TestMain(m *testing.M) {
	if args := strings.Fields(os.Getenv(childEnv)); len(args) == 3 {
		if err := child(args[0], args[1], args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child drains the FIFO to its end; "deliver" also reads, appends each line's number to a file, and then commits.
func child(dir, path, what string) error {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	st := NewStore(Config{Dir: dir, Total: 1 << 30, Memory: 64 << 20, Retry: time.Second})
	s := open(st, dir+"/one", Options{segmentBytes: 256 << 10})
	f, err := fifo.Open(path)
	if err != nil {
		return err
	}
	drained := make(chan error, 1)
	go func() {
		drained <- s.Drain(ctx, f)
		s.Finish()
	}()
	if what == "deliver" {
		if err := deliver(ctx, s, dir+"/delivered"); err != nil {
			return err
		}
	}
	if err := <-drained; err != nil {
		return err
	}
	return s.Close()
}

func deliver(ctx context.Context, s *Spool, path string) error {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	buf := make([]byte, 64<<10)
	for {
		n, g, err := s.Peek(buf)
		if g.To > 0 && n == 0 {
			return fmt.Errorf("a gap: %+v", g)
		}
		var e frame.Entry
		var lines []byte
		at := 0
		for {
			size, derr := frame.Decode(buf[at:n], &e)
			if errors.Is(derr, frame.ErrGarbage) {
				return fmt.Errorf("garbage at %d", s.Taken()+int64(at))
			}
			if derr != nil {
				break
			}
			number, _, _ := strings.Cut(string(e.Line), " ")
			lines = append(append(lines, number...), '\n')
			at += size
		}
		s.Skip(at)
		if _, err := out.Write(lines); err != nil {
			return err
		}
		if err := s.Commit(s.Taken()); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if at > 0 {
			continue
		}
		if err := waitFor(ctx, s); err != nil {
			return err
		}
	}
}

// The driver is killed at random moments while lines come as fast as they can. All are there in the end, once and in
// order; those that were delivered may have been so twice, but not a batch that was committed.
func TestKill(t *testing.T) {
	for _, c := range []struct {
		what string
		dir  string
	}{{"drain", t.TempDir()}, {"drain", tmpfs(t)}, {"deliver", t.TempDir()}} {
		t.Run(c.what+" on "+c.dir[:4], func(t *testing.T) { kill(t, c.dir, c.what, 12) })
	}
}

func kill(t *testing.T, dir, what string, kills int) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := newFIFO(t)
	start := func() *exec.Cmd {
		cmd := exec.CommandContext(ctx, self)
		cmd.Env = append(os.Environ(), childEnv+"="+dir+" "+p.path+" "+what)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	stop := make(chan struct{})
	wrote := make(chan int, 1)
	var written atomic.Int64
	go func() {
		n := 0
		defer func() { wrote <- n }()
		for {
			select {
			case <-stop:
				return
			default:
			}
			// As the daemon does: one write for each line, a few at a time.
			for range 50 {
				if _, err := p.w.Write(appendLine(nil, n, n%200)); err != nil {
					t.Error(err)
					return
				}
				n++
			}
			written.Store(int64(n))
		}
	}()
	for range kills {
		cmd := start()
		goal := written.Load() + rand.N[int64](maxLines)
		polltest.Until(t, 20*time.Second, "lines between two kills", func() bool { return written.Load() >= goal })
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
	}
	cmd := start() // drains what the writer is stuck with
	close(stop)
	lines := <-wrote
	// The daemon keeps its end open for longer than this; with nobody at either end the kernel drops what is in a pipe.
	polltest.Until(t, 20*time.Second, "the pipe is empty", func() bool {
		n, err := unix.IoctlGetInt(int(p.w.Fd()), unix.TIOCINQ)
		if err != nil {
			t.Fatal(err)
		}
		return n == 0
	})
	p.w.Close()
	p.r.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("the last driver: %v", err)
	}
	if lines < 1000 {
		t.Fatalf("only %d lines were written", lines)
	}
	t.Logf("%d lines, %d kills", lines, kills)

	st := newStore(t, Config{Dir: dir})
	s := open(st, dir+"/one", Options{})
	defer shut(t, s)
	s.Finish()
	r := newReader(t, s)
	if what == "drain" {
		r.until(-1)
		if r.next != lines || r.garbage != 0 || len(r.gaps) != 0 {
			t.Errorf("read %d lines of %d; gaps %v, garbage %d", r.next, lines, r.gaps, r.garbage)
		}
		return
	}
	b, err := os.ReadFile(dir + "/delivered")
	if err != nil {
		t.Fatal(err)
	}
	next, twice := 0, 0
	for _, l := range strings.Fields(string(b)) {
		var n int
		if _, err := fmt.Sscan(l, &n); err != nil {
			// A line of the file was cut by a kill.
			continue
		}
		switch {
		case n == next:
			next++
		case n < next:
			twice += next - n
			next = n + 1
		default:
			t.Fatalf("line %d comes after %d", n, next-1)
		}
	}
	if next != lines {
		t.Errorf("delivered up to %d of %d", next, lines)
	}
	if left := s.Stats(); left.End != left.Committed {
		t.Errorf("not all is committed: %+v", left)
	}
	if most := kills * (64 << 10) / 50; twice > most {
		t.Errorf("%d lines delivered twice, want at most a batch for each kill, %d", twice, most)
	}
}
