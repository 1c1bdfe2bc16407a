package http

import (
	"math"
	"testing"
	"time"
)

func TestClock(t *testing.T) {
	var c clock
	for _, nano := range []int64{
		0, 1, 999_999_999, 1_000_000_000, 1_790_000_000_123_456_789, 1_790_000_000_999_999_999, 1_790_000_001_000_000_000, 1_790_000_000_000_000_000,
		-1, -1_000_000_000, -1_000_000_001, math.MinInt64, math.MaxInt64,
	} {
		want := time.Unix(0, nano).UTC().Format(`"2006-01-02T15:04:05.000000000Z07:00"`)
		if got := string(c.append(nil, nano)); got != want {
			t.Errorf("clock writes %d as %s, want %s", nano, got, want)
		}
	}
}
