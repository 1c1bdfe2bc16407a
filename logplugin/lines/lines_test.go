package lines

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/frame"
)

// flow returns a Flow and the lines that it emits.
func flow(t *testing.T, o Options) (*Flow, *[]string) {
	t.Helper()
	r, err := o.Compile()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	f := r.Flow(func(e *frame.Entry) { got = append(got, string(e.Line)) })
	if f == nil {
		t.Fatalf("%+v needs no Flow", o)
	}
	return f, &got
}

func TestFilter(t *testing.T) {
	given := []string{"GET /health 200", "GET /a 500", "", "POST /b 200", "ERROR a\xff"}
	for name, c := range map[string]struct {
		options Options
		want    []string
	}{
		"include":                {Options{IncludePattern: ` [45]\d\d$|^ERROR`}, []string{"GET /a 500", "ERROR a\xff"}},
		"exclude":                {Options{ExcludePattern: `/health`}, []string{"GET /a 500", "", "POST /b 200", "ERROR a\xff"}},
		"the first, then not":    {Options{IncludePattern: `^GET`, ExcludePattern: `/health`}, []string{"GET /a 500"}},
		"nothing":                {Options{IncludePattern: `^$`, ExcludePattern: `^$`}, nil},
		"blanks are significant": {Options{IncludePattern: ` 200`}, []string{"GET /health 200", "POST /b 200"}},
	} {
		t.Run(name, func(t *testing.T) {
			f, got := flow(t, c.options)
			for _, l := range given {
				f.Push(&frame.Entry{Source: []byte("stdout"), Line: []byte(l)})
			}
			if !slices.Equal(*got, c.want) {
				t.Errorf("sent %q, want %q", *got, c.want)
			}
			if n, want := f.Take().Filtered, int64(len(given)-len(c.want)); n != want {
				t.Errorf("counted %d lines, want %d", n, want)
			}
			if n := f.Take(); n != (Counts{}) {
				t.Errorf("counted again: %+v", n)
			}
		})
	}
}

// The first piece of a line that is too long to be whole decides for its other pieces, on each stream.
func TestFilterPieces(t *testing.T) {
	f, got := flow(t, Options{ExcludePattern: `^DEBUG`})
	for _, p := range []struct {
		source, line string
		ordinal      int32
	}{
		{"stdout", "DEBUG begin", 1}, {"stderr", "ERROR begin", 1}, {"stdout", "middle", 2}, {"stderr", "DEBUG middle", 2},
		{"stdout", "end", 3}, {"stderr", "DEBUG end", 3}, {"stdout", "next", 0},
	} {
		f.Push(&frame.Entry{Source: []byte(p.source), Line: []byte(p.line), Partial: p.ordinal > 0, Ordinal: p.ordinal})
	}
	if want := []string{"ERROR begin", "DEBUG middle", "DEBUG end", "next"}; !slices.Equal(*got, want) {
		t.Errorf("sent %q, want %q", *got, want)
	}
	if n := f.Take().Filtered; n != 1 {
		t.Errorf("counted %d lines, want 1", n)
	}
}

func TestCompile(t *testing.T) {
	if r, err := (Options{}).Compile(); err != nil || r.Flow(nil) != nil {
		t.Errorf("no options: %v, and a Flow", err)
	}
	for name, c := range map[string]struct {
		options Options
		want    string
	}{
		"not a regular expression": {Options{IncludePattern: "a("}, "log-opt include-pattern: error parsing regexp"},
		"of another language":      {Options{ExcludePattern: `(?!DEBUG)`}, "log-opt exclude-pattern: error parsing regexp"},
		"too long":                 {Options{ExcludePattern: strings.Repeat("a", 2000)}, "longer than 1024 bytes"},
		"too large":                {Options{IncludePattern: `(abc){900}`}, "more than 1000 instructions"},
		"no rate":                  {Options{MaxRate: "much"}, "log-opt max-rate"},
		"of two lines":             {Options{IncludePattern: "a\n("}, "log-opt include-pattern"},
	} {
		if _, err := c.options.Compile(); err == nil || !strings.Contains(err.Error(), c.want) || strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("%s: %v, want %q in one line", name, err, c.want)
		}
	}
}

func TestReadTakesEveryName(t *testing.T) {
	given := map[string]string{}
	for _, n := range Names() {
		given[n] = "value of " + n
	}
	if text := fmt.Sprintf("%+v", Read(given)); strings.Count(text, "value of ") != len(Names()) {
		t.Errorf("of %q it reads %s", Names(), text)
	}
}

func TestFlowAllocs(t *testing.T) {
	r, err := (Options{IncludePattern: `ERROR|WARN`, ExcludePattern: `^\d+ GET /health`, MultilinePattern: `^\d`, MaxRate: "2", MaxRateMode: "drop"}).Compile()
	if err != nil {
		t.Fatal(err)
	}
	f := r.Flow(func(*frame.Entry) {})
	e := &frame.Entry{Source: []byte("stdout")}
	lines := [][]byte{[]byte("17 GET /a WARN slow"), []byte("18 GET /health WARN slow"), bytes.Repeat([]byte("x"), 1000)}
	most := 0.0
	if testing.Short() {
		most = 10 // the race detector makes package regexp throw away what it would use again
	}
	if n := testing.AllocsPerRun(1000, func() {
		for _, e.Line = range lines {
			f.Push(e)
		}
	}); n > most {
		t.Errorf("three lines allocate %v times, want %v at most", n, most)
	}
}
