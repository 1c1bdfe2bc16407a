package hostcache

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "once")
	now := time.Now()
	o := Options{Dirs: []string{dir}, Now: func() time.Time { return now }}
	for _, step := range []struct {
		name  string
		later time.Duration
		want  bool
	}{
		{"a", 0, true}, {"a", 0, false}, {"b", 0, true}, {"a", 59 * time.Second, false}, {"a", time.Second, true},
		{"a", 0, false}, {"a", -time.Hour, true}, {"a", 0, false}, // the clock was set back
	} {
		now = now.Add(step.later)
		if got := Once(o, step.name, time.Minute); got != step.want {
			t.Errorf("Once(%q) at %v = %v, want %v", step.name, now, got, step.want)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if Once(o, "c", time.Minute) {
		t.Error("a directory that is open to others was used")
	}
}

// Of many that ask at the same time one may.
func TestOnceAtTheSameTime(t *testing.T) {
	o := Options{Dirs: []string{filepath.Join(t.TempDir(), "once")}}
	var yes atomic.Int32
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if Once(o, "a", time.Minute) {
				yes.Add(1)
			}
		})
	}
	all.Wait()
	if yes.Load() != 1 {
		t.Errorf("%d of 50 may, want 1", yes.Load())
	}
}
