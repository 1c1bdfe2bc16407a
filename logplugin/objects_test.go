package logplugin

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/frame"
	"github.com/secretref/secretref/shared/polltest"
)

// Lines wait for an object of their container until there are enough of them, or until the container has ended.
func TestObjectsWait(t *testing.T) {
	x := s3Target()
	t.Cleanup(x.close)
	options := maps.Clone(x.options)
	options["s3-upload-timeout"], options["s3-total-file-size"] = "24h", "1000000"
	d := startDriver(t, "")
	put := func(name string, n int) (end func()) {
		t.Helper()
		f := d.fifo(t, name)
		if a := d.startWith(t, name, options); a != `{"Err":""}` {
			t.Fatalf("StartLogging: %s", a)
		}
		for i := range n {
			e := frame.Entry{Source: []byte("stdout"), TimeNano: int64(i), Line: fmt.Appendf(nil, "%s %06d %s", name, i, strings.Repeat("x", 1000))}
			if _, err := f.Write(frame.AppendFrame(nil, &e)); err != nil {
				t.Fatal(err)
			}
		}
		return func() {
			if a := d.call(t, "LogDriver.StopLogging", map[string]any{"File": f.Name()}); a != `{"Err":""}` {
				t.Errorf("StopLogging: %s", a)
			}
			_ = f.Close()
		}
	}
	arrived := func(name string) (n int) {
		for _, l := range x.lines(0) {
			if strings.HasPrefix(l, name+" ") {
				n++
			}
		}
		return n
	}
	end := put("c1", 5)
	put("c2", 1500)
	polltest.Until(t, 30*time.Second, "an object of a million bytes is stored", func() bool { return arrived("c2") > 900 })
	if n := arrived("c1"); n > 0 || arrived("c2") == 1500 {
		t.Errorf("%d and %d lines are stored, want none and a million bytes", n, arrived("c2"))
	}
	end()
	polltest.Until(t, 30*time.Second, "the lines of the container that has ended are stored", func() bool { return arrived("c1") == 5 })
	if arrived("c2") == 1500 {
		t.Error("all lines of the other are stored, too")
	}
}
