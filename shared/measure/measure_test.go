package measure

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestSpreadOf(t *testing.T) {
	for _, c := range []struct {
		name    string
		numbers []float64
		want    Spread
	}{
		{"one", []float64{3}, Spread{3, 3, 3}},
		{"not in order", []float64{5, 1, 4, 2, 3}, Spread{2, 3, 4}},
		{"few, so all", []float64{2, 1, 3}, Spread{1, 2, 3}},
		{"one that was disturbed", []float64{1, 1, 1, 1, 100}, Spread{1, 1, 1}},
	} {
		if got := SpreadOf(c.numbers); got != c.want {
			t.Errorf("%s: SpreadOf(%v) = %+v, want %+v", c.name, c.numbers, got, c.want)
		}
	}
}

func TestRun(t *testing.T) {
	broken := errors.New("no such luck")
	for _, c := range []struct {
		name  string
		bench func(context.Context) error
		code  int
		want  string
	}{
		{"well", func(context.Context) error { return nil }, 0, ""},
		{"broken", func(context.Context) error { return broken }, 1, "bench: no such luck\n"},
		{"too long", func(ctx context.Context) error { <-ctx.Done(); return broken }, 1, "bench: it took longer than 10ms; it was at: no such luck\n"},
	} {
		var out strings.Builder
		if code := Run(t.Context(), 10*time.Millisecond, &out, c.bench); code != c.code || out.String() != c.want {
			t.Errorf("%s: %d, %q; want %d, %q", c.name, code, out.String(), c.code, c.want)
		}
	}
}
