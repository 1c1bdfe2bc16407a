package measure

import "testing"

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
