//go:build integration

package integration

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The state, the spool and the configuration that a driver of the first release has left, killed with 300 lines of each of
// two containers that no receiver had taken, load, and every line is delivered.
func TestFirstRelease(t *testing.T) {
	const recorded = "testdata/first-release"
	w := newWorld(t, worldOptions{})
	w.end(syscall.SIGTERM)
	if err := os.RemoveAll(w.state); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(w.state, os.DirFS(recorded)); err != nil {
		t.Fatal(err)
	}
	// Where the receiver and the secret are is the test's.
	replace := strings.NewReplacer("http://127.0.0.1:18088", w.hec.URL(),
		"arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/splunk-AbCdEf", w.arn, "/var/lib/secretref", w.state)
	files, err := filepath.Glob(w.state + "/sessions/*.json")
	if err != nil || len(files) != 2 {
		t.Fatalf("state files %q, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(file, []byte(replace.Replace(string(text))), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	config, err := os.ReadFile(recorded + "/config.toml")
	if err != nil {
		t.Fatal(err)
	}
	w.write("config.toml", replace.Replace(string(config)))
	w.start()
	f := newFakes(w)
	until(t, time.Minute, "all lines", func() bool { got := f.received(); return got["plain"] == 300 && got["picky"] == 300 })
	if n := w.hec.Count(); n != 600 {
		t.Errorf("%d events, want 600", n)
	}
	w.gone()
	// The daemon has a copy of what was written before, and docker logs begins with a word on that.
	r, refused, err := f.follow(&fake{name: "plain"}) // which has ended, so that the answer ends, too
	if err != nil || r == nil {
		t.Fatalf("docker logs: %s, %v", refused, err)
	}
	defer r.conn.Close()
	if first, err := r.next(); err != nil || !cachedLog.MatchString(first) {
		t.Errorf("docker logs begins with %q, %v, want a word on the daemon's copy", first, err)
	}
	for i := range 300 {
		if line, err := r.next(); err != nil || line != fmt.Sprintf("plain %d\n", i) {
			t.Fatalf("docker logs shows %q, %v, want line %d", line, err, i)
		}
	}
	if line, err := r.next(); !errors.Is(err, io.EOF) {
		t.Errorf("docker logs ends with %q, %v, want its end", line, err)
	}
}
