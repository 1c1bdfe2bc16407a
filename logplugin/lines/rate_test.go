package lines

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secretref/secretref/logplugin/frame"
)

func TestParseRate(t *testing.T) {
	for _, c := range []struct {
		text, mode string
		want       rate
		err        string
	}{
		{"", "", rate{}, ""},
		{"1000", "", rate{limit: 1000, text: "1000"}, ""},
		{" 1000/s ", "keep", rate{limit: 1000, text: "1000/s"}, ""},
		{"1", "drop", rate{limit: 1, drop: true, text: "1"}, ""},
		{"1MiB/s", "drop", rate{limit: 1 << 20, bytes: true, drop: true, text: "1MiB/s"}, ""},
		{"64k", "", rate{limit: 64 << 10, bytes: true, text: "64k"}, ""},
		{"2048b", "", rate{limit: 2048, bytes: true, text: "2048b"}, ""},
		{"0", "", rate{}, "not between 1 and 1000000000 lines"},
		{"2000000000", "", rate{}, "not between 1 and 1000000000 lines"},
		{"99999999999999999999", "", rate{}, "log-opt max-rate is"},
		{"1b", "", rate{}, "not between 1 KiB and 1 TiB a second"},
		{"2T", "", rate{}, "not between 1 KiB and 1 TiB a second"},
		{"9999999999T", "", rate{}, "log-opt max-rate is"},
		{"-1", "", rate{}, `"-1"; write lines a second as in 1000, or bytes a second as in 1MiB/s`},
		{"1.5M", "", rate{}, "as in 1MiB/s"},
		{"10/m", "", rate{}, "as in 1MiB/s"},
		{"fast", "", rate{}, "as in 1MiB/s"},
		{"10", "block", rate{}, `log-opt max-rate-mode is "block"; write keep or drop`},
		{"", "drop", rate{}, "log-opt max-rate-mode is given without max-rate"},
	} {
		got, err := parseRate(c.text, c.mode)
		if c.err == "" && (err != nil || got != c.want) || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("parseRate(%q, %q) = %+v, %v; want %+v, %q", c.text, c.mode, got, err, c.want, c.err)
		}
	}
}

// at returns a line that was written so many milliseconds after the beginning of a minute.
func at(ms int64, text string, pos int64) *frame.Entry {
	e := entry(text, pos)
	e.TimeNano = 1_790_000_040e9 + ms*1e6
	return e
}

func missed(n int, text string) string {
	return fmt.Sprintf("secretref: %d lines are missing here: the container wrote more than max-rate=%s allows", n, text)
}

// Lines over the rate are dropped by the time at which they were written, and a record stands where they are missing.
func TestDrop(t *testing.T) {
	type line struct {
		ms   int64
		text string
	}
	big := strings.Repeat("x", 3000)
	for name, c := range map[string]struct {
		rate  string
		lines []line
		want  []string
	}{
		"within it":        {"2", []line{{0, "a"}, {900, "b"}, {1000, "c"}, {1100, "d"}}, []string{"a", "b", "c", "d"}},
		"over it":          {"2", []line{{0, "a"}, {1, "b"}, {2, "c"}, {3, "err:d"}, {1000, "e"}, {2000, "f"}}, []string{"a", "b", missed(2, "2"), "e", "f"}},
		"at the end":       {"1", []line{{0, "a"}, {1, "b"}}, []string{"a", missed(1, "1")}},
		"second by second": {"1", []line{{0, "a"}, {1, "b"}, {1000, "c"}, {1001, "d"}}, []string{"a", missed(1, "1"), "c", missed(1, "1")}},
		"the streams in disorder": {"2", []line{{1000, "a"}, {999, "err:b"}, {1001, "c"}, {998, "err:d"}, {1002, "e"}},
			[]string{"a", "b", missed(3, "2")}},
		"the clock is set back": {"1", []line{{3_600_000, "a"}, {0, "b"}, {1, "c"}}, []string{"a", "b", missed(1, "1")}},
		"bytes":                 {"1k/s", []line{{0, big[:1000]}, {1, big[:100]}, {2, "c"}, {1000, "d"}}, []string{big[:1000], missed(2, "1k/s"), "d"}},
		"a line of three seconds": {"1k", []line{{0, big}, {1000, "b"}, {2000, "c"}, {3000, "d"}},
			[]string{big, missed(1, "1k"), "c", "d"}},
		"filtered lines do not count": {"1", []line{{0, "no"}, {1, "no"}, {2, "a"}, {3, "no"}}, []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			f, got := flow(t, Options{MaxRate: c.rate, MaxRateMode: "drop", ExcludePattern: "^no$"})
			for i, l := range c.lines {
				f.Push(at(l.ms, l.text, int64(i+1)))
			}
			f.Flush()
			if !slices.Equal(*got, c.want) {
				t.Errorf("sent %.100q, want %.100q", *got, c.want)
			}
			n := f.Take()
			if sum := int(n.Filtered+n.Limited) + len(*got) - strings.Count(strings.Join(*got, " "), "secretref:"); sum != len(c.lines) {
				t.Errorf("%+v and %q are %d lines, want %d", n, *got, sum, len(c.lines))
			}
		})
	}
}

// A cursor stays in front of lines that were dropped until a record says so, which comes soon if no line does.
func TestDropHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, got := flow(t, Options{MaxRate: "1", MaxRateMode: "drop"})
		for i := range int64(3) {
			f.Push(at(i, "a", 10+i))
		}
		if pos, ok := f.Held(); !ok || pos != 11 {
			t.Errorf("holds %d, %v; want 11", pos, ok)
		}
		due, ok := f.Deadline()
		if !ok || time.Until(due) != reportAfter {
			t.Errorf("a record is due in %v, %v; want %v", time.Until(due), ok, reportAfter)
		}
		f.Expire(due.Add(-1))
		if n := f.Take(); n.Limited != 0 || len(*got) != 1 {
			t.Errorf("too early: %+v, %q", n, *got)
		}
		f.Expire(due)
		if n := f.Take(); n.Limited != 2 || len(*got) != 2 || (*got)[1] != missed(2, "1") {
			t.Errorf("%+v, %q; want a record of 2 lines", n, *got)
		}
		if pos, ok := f.Held(); ok {
			t.Errorf("still holds %d", pos)
		}
	})
}

// The pieces of a long line are one line, and none of them is dropped when the first was sent.
func TestDropPieces(t *testing.T) {
	f, got := flow(t, Options{MaxRate: "1", MaxRateMode: "drop"})
	for i, p := range []string{"a1", "a2", "a3", "b1", "b2"} {
		e := at(int64(i), p, int64(i))
		e.Partial, e.Ordinal = true, int32(p[1]-'0')
		f.Push(e)
	}
	f.Flush()
	if want := []string{"a1", "a2", "a3", missed(1, "1")}; !slices.Equal(*got, want) {
		t.Errorf("sent %q, want %q", *got, want)
	}
}

// With keep there is room for so much in each second, whenever the lines were written, and nothing is left out.
func TestKeep(t *testing.T) {
	for _, c := range []struct {
		rate, line string
		want       []int // lines that there is room for in each second
	}{
		{"3", "a", []int{3, 3, 3, 3}},
		{"1k/s", strings.Repeat("x", 400), []int{3, 3, 2, 3}}, // what is too much in one second is less in the next
		{"1k/s", strings.Repeat("x", 2500), []int{1, 0, 1, 0}},
	} {
		synctest.Test(t, func(t *testing.T) {
			f, got := flow(t, Options{MaxRate: c.rate})
			for second, want := range c.want {
				n := 0
				for f.HasRoom() {
					f.Push(at(0, c.line, int64(second)))
					n++
				}
				if n != want {
					t.Errorf("%s: room for %d lines of %d bytes in second %d, want %d", c.rate, n, len(c.line), second, want)
				}
				due, ok := f.Deadline()
				if now := time.Now(); !ok || !due.After(now) || due.After(now.Add(3*time.Second)) {
					t.Errorf("%s: there is room in %v, %v", c.rate, due.Sub(now), ok)
				}
				if !f.IsOver() {
					t.Error("the turn goes on without room")
				}
				time.Sleep(time.Second)
			}
			if n := f.Take(); n != (Counts{}) || len(*got) == 0 {
				t.Errorf("counted %+v of %d lines", n, len(*got))
			}
			time.Sleep(time.Hour)
			if !f.HasRoom() {
				t.Error("no room after an hour")
			}
		})
	}
}
