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

func TestAppendSeconds(t *testing.T) {
	for _, c := range []struct {
		nano     int64
		decimals int
		want     string
	}{
		{0, 3, "0.000"}, {1, 9, "0.000000001"}, {1795463301047679123, 6, "1795463301.047679"}, {1795463301047679123, 3, "1795463301.047"},
		{-1, 9, "-0.000000001"}, {-1_500_000_000, 3, "-1.500"}, {-1_000_000, 3, "-0.001"}, {-62_000_000_001, 9, "-62.000000001"},
		{math.MaxInt64, 9, "9223372036.854775807"}, {math.MinInt64, 9, "-9223372036.854775808"},
	} {
		if got := string(AppendSeconds([]byte("x"), c.nano, c.decimals)); got != "x"+c.want {
			t.Errorf("AppendSeconds(x, %d, %d) = %s, want x%s", c.nano, c.decimals, got, c.want)
		}
	}
}
