package router

import (
	"math"
	"testing"
	"time"
)

// A clock writes what package time writes, whichever time came before.
func TestClock(t *testing.T) {
	var c Clock
	for _, nano := range []int64{
		0, 1, -1, 999_999_999, 1_000_000_000, -1_000_000_000, -1_000_000_001, 1795463301047679123, 1795463301047679124, 1795463302047679123, 1795463301000000000,
		time.Date(2024, 2, 29, 23, 59, 59, 999_999_999, time.UTC).UnixNano(), math.MaxInt64, math.MinInt64,
	} {
		if got, want := string(c.Append(nil, nano)), time.Unix(0, nano).UTC().Format("2006-01-02T15:04:05.000000000Z"); got != want {
			t.Errorf("%d: %s, want %s", nano, got, want)
		}
	}
}
