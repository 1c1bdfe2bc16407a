package polltest

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// recorder is a test that notes how it has failed.
type recorder struct {
	testing.TB
	text string
}

func (*recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.text = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestUntil(t *testing.T) {
	for _, tt := range []struct {
		name  string
		after time.Duration // of which it is done; negative = never
		took  time.Duration
		want  string
	}{
		{"at once", 0, 0, ""},
		{"in a while", time.Second, time.Second, ""},
		{"never", -1, 5 * time.Second, "the file is there: not within 5s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				r := &recorder{}
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					Until(r, 5*time.Second, "the file is there", func() bool { return tt.after >= 0 && time.Since(start) >= tt.after })
				}()
				<-ended
				if took := time.Since(start); r.text != tt.want || took < tt.took || took > tt.took+maxPause {
					t.Errorf("%q after %v, want %q after %v", r.text, took, tt.want, tt.took)
				}
			})
		})
	}
}
