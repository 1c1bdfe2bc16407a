// Package polltest waits, in a test, for what the kernel or another process does and tells nobody. What the test's own
// process does has an event to wait for, or runs in a bubble of testing/synctest.
package polltest

import (
	"testing"
	"time"
)

const maxPause = 20 * time.Millisecond // between two looks; the first pauses are shorter

// Until returns once done reports true. If it does not within limit, the test fails and says what it waited for.
func Until(t testing.TB, limit time.Duration, what string, done func() bool) {
	t.Helper()
	end := time.NewTimer(limit)
	defer end.Stop()
	for pause := time.Millisecond; !done(); pause = min(2*pause, maxPause) {
		select {
		case <-time.After(pause):
		case <-end.C:
			t.Fatalf("%s: not within %v", what, limit)
		}
	}
}
