//go:build integration

package integration

import (
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/router/splunk/hectest"
	"github.com/secretref/secretref/shared/rig"
)

// A router that fails, in every way: the container starts, talks and stops as if nothing were, the daemon answers as fast
// as with json-file, status says what is wrong, and all lines arrive when the router is well again.
func TestFailingRouter(t *testing.T) {
	t.Parallel() // most of the time it waits
	w := newWorld(t, worldOptions{})
	plain := timeCalls(t, w, "fail-plain", jsonFile, nil)
	authority, err := rig.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	strange, err := authority.ServerConfig("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	type router struct {
		name, says string
		options    hectest.Options
		fault      hectest.Fault
		refuse     bool // connections
		timed      bool // the calls to the daemon are
		fatal      bool // it will never take anything
		container  string
		heal       func()
	}
	routers := []*router{
		{name: "hangs", says: "no answer|deadline|within|timeout|pending", fault: hectest.Fault{Hang: true}, timed: true},
		{name: "refuses", says: "refused", refuse: true, timed: true},
		{name: "closes", says: "closed|EOF|reset", fault: hectest.Fault{Drop: true}, timed: true},
		{name: "answers by half", says: "EOF|answer", fault: hectest.Fault{Cut: true}},
		{name: "web page", says: "HEC|JSON|html", fault: hectest.Fault{HTML: true}},
		{name: "redirect", says: "307|redirect", fault: hectest.Fault{Location: "http://127.0.0.1:1/"}},
		{name: "certificate", says: "certificate|authority", options: hectest.Options{TLS: strange}, fatal: true},
		{name: "400", says: "400", fault: hectest.Fault{Code: 7}},
		{name: "401", says: "401|token|credential", fault: hectest.Fault{Status: 401}},
		{name: "403", says: "403|token", fault: hectest.Fault{Code: 4}},
		{name: "404", says: "404", fault: hectest.Fault{Status: 404}},
		{name: "429", says: "429", fault: hectest.Fault{Code: 26}},
		{name: "500", says: "500", fault: hectest.Fault{Status: 500}},
		{name: "503", says: "503|busy", fault: hectest.Fault{Code: 9}, timed: true},
	}
	for i, r := range routers {
		r.container = fmt.Sprint("fail-", i)
		s := w.receiver(r.options)
		r.heal = func() { s.FailAlways(nil) }
		if r.fault != (hectest.Fault{}) {
			s.FailAlways(&r.fault)
		}
		opts := []string{"splunk-url=" + s.URL()}
		if r.refuse {
			d := newDoor(t, s.URL())
			opts = []string{"splunk-url=http://" + d.addr}
			r.heal = d.open
		}
		w.run(r.container, opts, "-pause", "5ms")
		if !r.timed {
			continue
		}
		w.step(r.name+" and the daemon", func(t *testing.T) {
			compare(t, plain, timeCalls(t, w, r.container+"-calls", w.unnamed(opts...), nil), 4*time.Second) // others start their daemons meanwhile
		})
	}
	// The one that hangs is the last of which that is known.
	for _, r := range append(routers[1:], routers[0]) {
		says := regexp.MustCompile("(?i)" + r.says)
		last := ""
		until(t, 90*time.Second, "status of a router that "+r.name, func() bool {
			for _, s := range w.statusOf(r.container) {
				last = s.LastError
			}
			return last != ""
		})
		t.Logf("%-16s %s", r.name, last)
		if !says.MatchString(last) || strings.Contains(last, "\n") || strings.Contains(last, "token-1") {
			t.Errorf("%s: status says %q, want one line with %s", r.name, last, r.says)
		}
		if text, err := w.statusText(); err == nil || text.Code == 0 || !strings.Contains(text.Stdout, last) {
			t.Errorf("status with routers that fail: %v\n%s", err, text.Output)
		}
		w.running(r.container)
		if !r.fatal {
			r.heal()
		}
	}
	for _, r := range routers {
		w.mustDocker("stop", "-t", "10", r.container)
		if r.fatal {
			continue
		}
		if _, twice := w.arrived(r.container, 90*time.Second); twice > 0 {
			t.Errorf("%s: %d lines came twice", r.name, twice)
		}
		if r.timed {
			w.arrived(r.container+"-calls", 90*time.Second)
		}
	}
	for _, r := range routers {
		if r.fatal && len(w.statusOf(r.container)) != 1 {
			t.Errorf("%s: what was not taken is gone", r.name)
		}
	}
}

// door is an address that refuses connections until it is opened.
type door struct {
	t      *testing.T
	addr   string
	target string
	late   time.Duration // how long answers are held up
	socket *os.File

	mu   sync.Mutex
	ends []io.Closer
	done sync.WaitGroup
}

func newDoor(t *testing.T, url string) *door {
	t.Helper()
	// Bound, and not listening: it refuses, and nobody else gets the port.
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	d := &door{t: t, target: strings.TrimPrefix(url, "http://"), socket: os.NewFile(uintptr(fd), "door")}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	d.addr = fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
	d.keep(d.socket)
	t.Cleanup(func() {
		d.mu.Lock()
		for _, c := range d.ends {
			_ = c.Close() // it may be closed
		}
		d.mu.Unlock()
		d.done.Wait()
	})
	return d
}

func (d *door) keep(c io.Closer) {
	d.mu.Lock()
	d.ends = append(d.ends, c)
	d.mu.Unlock()
}

func (d *door) open() {
	d.t.Helper()
	if err := unix.Listen(int(d.socket.Fd()), 128); err != nil {
		d.t.Fatal(err)
	}
	l, err := net.FileListener(d.socket)
	if err != nil {
		d.t.Fatal(err)
	}
	d.keep(l)
	d.done.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", d.target)
			if err != nil {
				in.Close()
				continue
			}
			d.keep(in)
			d.keep(out)
			d.done.Go(func() { _, _ = io.Copy(out, in); out.Close() })
			d.done.Go(func() { d.answer(in, out); in.Close() })
		}
	})
}

func (d *door) answer(to io.Writer, from io.Reader) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if d.late > 0 {
			select {
			case <-time.After(d.late):
			case <-d.t.Context().Done():
			}
		}
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}
