package bounded

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

type data struct {
	Name    string
	Labels  map[string]string
	List    []string
	Created time.Time
	Big     string
}

func (d *data) Upper() string { return strings.ToUpper(d.Name) }

func (d *data) Methods() map[string]any { return map[string]any{"Upper": d.Upper} }

func testData() *data {
	return &data{
		Name: "app", Labels: map[string]string{"a": "1", "b.c": "<2>"}, List: []string{"x", "y"},
		Created: time.Date(2026, 11, 28, 1, 2, 3, 0, time.UTC), Big: strings.Repeat("\x00", 60<<10),
	}
}

func TestRender(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "",
		"plain":                            "plain",
		"{{.Name}}/{{.Upper}}":             "app/APP",
		"{{.Labels.a}}{{.Labels.missing}}": "1<no value>",
		`{{index .Labels "b.c"}}`:          "<2>",
		`{{with .Labels}}{{.a}}{{end}}`:    "1",
		`{{with .Nope2}}{{end}}`:           "error",
		`{{range .List}}{{.}},{{end}}`:     "x,y,",
		`{{range $i, $e := .List}}{{$i}}{{$e}}{{end}}`:                                         "0x1y",
		`{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}`:                                     "a=1;b.c=<2>;",
		`{{range 3}}{{.}}{{end}}`:                                                              "012",
		`{{range 9}}{{if eq . 1}}{{continue}}{{end}}{{if gt . 2}}{{break}}{{end}}{{.}}{{end}}`: "02",
		`{{range .Labels.missing}}a{{else}}none{{end}}`:                                        "none",
		`{{if and .Name (not .Labels.missing)}}yes{{else}}no{{end}}`:                           "yes",
		`{{$x := "a"}}{{$x = printf "%s%s" $x $x}}{{$x}}`:                                      "aa",
		`{{define "t"}}[{{.}}]{{end}}{{template "t" .Name}}{{template "t"}}`:                   "[app][<no value>]",
		`{{block "t" .Name}}({{.}}){{end}}`:                                                    "(app)",
		`{{.Created.Format "2006-01-02"}} {{.Created.Year}}`:                                   "2026-11-28 2026",
		`{{printf "%5s|%-5s|%05d|%.2f|%*d|%[1]q" .Name "b" 7 1.5 3 2}}`:                        `  app|b    |00007|1.50|  2|"app"`,
		`{{printf "100%%"}} {{print 1 2 "x"}} {{println "a"}}`:                                 "100% 1 2x a\n",
		`{{html "<a>"}} {{js "'"}} {{urlquery "a b"}}`:                                         `&lt;a&gt; \' a+b`,
		`{{slice .Name 1 2}} {{len .List}} {{lt 1 2}} {{ne .Name "app"}}`:                      "p 2 true false",
		`{{json .List}}{{join (split "a.b" ".") "-"}}`:                                         `["x","y"]a-b`,
		`{{.Name | upper | printf "%s-%s" "a"}}`:                                               "a-APP",
	} {
		got, err := Render(text, testData())
		if want == "error" {
			if err == nil {
				t.Errorf("Render(%q) = %q, want an error", text, got)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("Render(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
}

// Every way to make a template run long, deep or large ends with an error, soon, and with little memory.
func TestRenderHoldsItsBudget(t *testing.T) {
	many := func(n int, s string) string { return strings.Repeat(s, n) }
	for name, c := range map[string]struct{ text, want string }{
		"an empty loop":                     {`{{range 100000000000}}{{end}}`, "budget"},
		"a loop with continue":              {`{{range 100000000000}}{{continue}}{{end}}`, "budget"},
		"a loop with a variable":            {`{{range $i := 100000000000}}{{$x := $i}}{{end}}`, "budget"},
		"loops in loops":                    {many(40, `{{range 10}}`) + many(40, `{{end}}`), "budget"},
		"loops over a list":                 {many(40, `{{range $.List}}`) + many(40, `{{end}}`), "budget"},
		"a loop over a text in a branch":    {`{{if true}}{{with .Name}}{{range 100000000000}}{{else}}{{end}}{{end}}{{end}}`, "budget"},
		"a loop in an else":                 {`{{if false}}{{else}}{{range 100000000000}}{{end}}{{end}}`, "budget"},
		"a loop in an argument":             {`{{define "t"}}{{range .}}{{end}}{{end}}{{template "t" 100000000000}}`, "budget"},
		"a template that calls itself":      {`{{define "t"}}{{template "t" .}}{{end}}{{template "t" .}}`, "call each other"},
		"templates that call each other":    {`{{define "a"}}{{template "b" .}}{{end}}{{define "b"}}{{template "a" .}}{{end}}{{template "a" .}}`, "call each other"},
		"the whole that calls itself":       {`{{template "text" .}}`, "call each other"},
		"doubled calls":                     {doubledCalls(60), "budget"},
		"a doubled text":                    {`{{$x := "aaaaaaaa"}}{{range 100}}{{$x = printf "%s%s" $x $x}}{{end}}`, "longer than 65536"},
		"a text doubled by print":           {`{{$x := "aaaaaaaa"}}{{range 100}}{{$x = print $x $x}}{{end}}`, "longer than 65536"},
		"a text doubled by join":            {`{{$x := "aa"}}{{range 100}}{{$x = join (split $x "a") $x}}{{end}}`, "longer than 65536"},
		"many pieces joined by a long text": {`{{len (join (split "` + many(2000, "a") + `" "a") .Big)}}`, "longer than 65536"},
		"a text doubled without a loop":     {`{{$x := "aaaaaaaa"}}` + many(40, `{{$x = print $x $x}}`), "longer than 65536"},
		"a text doubled in parentheses":     {`{{len (print (print .Big .Big) (print .Big .Big))}}`, "longer than 65536"},
		"a text made wide":                  {`{{$x := "a"}}{{range 1000}}{{$x = pad $x 4096 4096}}{{end}}`, "longer than 65536"},
		"a wide number":                     {`{{printf "%1000000000d" 1}}`, "a width"},
		"a wide number, few digits":         {`{{printf "%999999d" 1}}`, "a width"},
		"a precise number":                  {`{{printf "%.999999f" 1.5}}`, "a width"},
		"a width behind an index":           {`{{printf "%[1]999999d" 1}}`, "a width"},
		"a width from an argument":          {`{{printf "%*d" 999999 1}}`, "a width"},
		"a negative width":                  {`{{printf "%*d" -999999 1}}`, "a width"},
		"many widths":                       {`{{printf "` + many(1000, "%4000d") + `" 1}}`, "longer than 65536"},
		"a width for each of many":          {`{{printf "%4000s" (split .Big "")}}`, "longer than 65536"},
		"one argument often":                {`{{printf "` + many(1000, "%[1]s") + `" .Big}}`, "longer than 65536"},
		"the whole data, often":             {`{{printf "` + many(1000, "%[1]#v") + `" .}}`, "longer than 65536"},
		"escapes in escapes":                {`{{len (.Big | html | html | html | js | js | urlquery)}}`, "longer than 65536"},
		"js in js":                          {`{{$x := "'"}}{{range 100}}{{$x = js $x}}{{end}}`, "longer than 65536"},
		"html in html":                      {`{{$x := "&"}}{{range 1000000}}{{$x = html $x}}{{end}}`, "budget"},
		"urlquery in urlquery":              {`{{$x := "%"}}{{range 1000000}}{{$x = urlquery $x}}{{end}}`, "budget"},
		"json in json":                      {`{{$x := "\""}}{{range 100}}{{$x = json $x}}{{end}}`, "longer than 65536"},
		"many pieces":                       {`{{range 1000}}{{len (split $.Big "")}}{{end}}`, "longer than 65536"},
		"a long text looked at often":       {`{{range 100000}}{{$x := $.Big}}{{end}}`, "budget"},
		"a long text compared often":        {`{{range 1000000}}{{if eq $.Big $.Big}}{{end}}{{end}}`, "budget"},
		"index, slice and len":              {`{{range 1000000}}{{index $.List 0}}{{slice $.Name 0 0}}{{len $.Big}}{{end}}`, "more than"},
		"a method that makes texts":         {`{{$b := .Created.MarshalJSON}}{{range 100000}}{{$b = $.Created.AppendFormat $b $.Big}}{{end}}`, "budget"},
		"a long result":                     {`{{range 100000}}aaaaaaaaaaaaaaaa{{end}}`, "more than 4096"},
		"a long text":                       {many(maxTemplate, "a") + "a", "longer than 16384"},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			runtime.ReadMemStats(&before)
			start := threadTime()
			got, err := Render(c.text, testData())
			spent := threadTime() - start
			runtime.ReadMemStats(&after)
			over, isBudget := errors.AsType[*BudgetError](err)
			switch {
			case err == nil:
				t.Fatalf("no error, but %d bytes", len(got))
			case c.want == "budget" && (!isBudget || over != errSteps && over != errTime), c.want != "budget" && over != errTime && !strings.Contains(err.Error(), c.want):
				t.Errorf("error %q, want %q", err, c.want)
			case strings.ContainsAny(err.Error(), "\r\n"):
				t.Errorf("error %q is more than one line", err)
			}
			if limit := 20 * MaxTime; spent > limit { // parsing and one step are not interrupted
				t.Errorf("took %v of processor time, want at most %v", spent, limit)
			}
			if made, limit := after.TotalAlloc-before.TotalAlloc, uint64(64<<20); made > limit {
				t.Errorf("allocated %d bytes, want at most %d", made, limit)
			}
		})
	}
}

func doubledCalls(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{{define "t%d"}}{{template "t%d" .}}{{template "t%d" .}}{{end}}`, i, i+1, i+1)
	}
	fmt.Fprintf(&b, `{{define "t%d"}}{{end}}{{template "t0" .}}`, n)
	return b.String()
}

func TestPatternPicksNames(t *testing.T) {
	p, err := Compile(`^com\.example\.`)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	if err := p.Names(slices.Values([]string{"com.example.a", "org.b", "com.example.", ""}), func(s string) { got = append(got, s) }); err != nil {
		t.Fatal(err)
	}
	if want := []string{"com.example.a", "com.example."}; !slices.Equal(got, want) {
		t.Errorf("picked %q, want %q", got, want)
	}
}

func TestPatternIsBounded(t *testing.T) {
	for name, c := range map[string]struct {
		pattern string
		ok      bool
	}{
		"usual":                {`^(com\.example\.(team|app)|io\.[a-z0-9-]{1,40})$`, true},
		"empty":                {``, true},
		"any":                  {`.*`, true},
		"the longest":          {strings.Repeat("a", maxProgram-1), true},
		"too long":             {strings.Repeat("a", maxPattern+1), false},
		"repeated":             {`(abc){500}`, false},
		"repeated repetitions": {`((a{9}){9}){9}x`, false},
		"many repetitions":     {strings.Repeat(`x{1000}`, 100), false},
		"optional repetitions": {`(a?){0,999}b`, false},
		"open repetition":      {`(ab){600,}`, false},
		"not one":              {`a(`, false},
	} {
		if p, err := Compile(c.pattern); (err == nil) != c.ok {
			t.Errorf("%s: %v, %v, want ok %v", name, p, err, c.ok)
		}
	}
}

// The worst patterns over many and long names end within the budget and one match.
func TestPatternHoldsItsTime(t *testing.T) {
	wide := map[string]bool{}
	for i := range 200_000 {
		wide[fmt.Sprintf("%s%d", strings.Repeat("a", 200), i)] = true
	}
	for name, c := range map[string]struct {
		pattern string
		names   map[string]bool
		want    string
	}{
		"many names":      {`(a|aa|a?a?){40}$`, wide, errTime.Error()},
		"a long name":     {`(x*)*y$`, map[string]bool{strings.Repeat("x", 1<<20): true}, "use a shorter one"},
		"worst backtrack": {`(a?){100}a{100}$`, map[string]bool{strings.Repeat("a", 1<<10): true}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Compile(c.pattern)
			if err != nil {
				t.Fatal(err)
			}
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			start := threadTime()
			err = p.Names(maps.Keys(c.names), func(string) {})
			if spent := threadTime() - start; spent > 20*MaxTime {
				t.Errorf("took %v", spent)
			}
			if c.want == "" && err == nil {
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// A line is looked at as far as the budget of its pattern goes, and that costs no memory.
func TestPatternMatchesLines(t *testing.T) {
	largest := strings.Repeat("a?", maxProgram/2-10) + "ERROR"
	for name, c := range map[string]struct {
		pattern, line string
		want          bool
	}{
		"at the beginning":                   {`^ERROR`, "ERROR: no", true},
		"nowhere":                            {`ERROR|WARN`, "all is well", false},
		"empty line":                         {`^$`, "", true},
		"invalid UTF-8":                      {"\\xff", "a\xffb", false}, // the pattern is the character, the line has the byte
		"late in a long line":                {`ERROR`, strings.Repeat("x", 256<<10) + "ERROR", true},
		"within the budget of a large one":   {largest, strings.Repeat("x", maxLine/maxProgram-10) + "ERROR", true},
		"behind the budget of a large one":   {largest, strings.Repeat("x", maxLine/400) + "ERROR", false},
		"of a large one in an ordinary line": {largest, "2026-11-28 ERROR: no", true},
	} {
		p, err := Compile(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Match([]byte(c.line)); got != c.want {
			t.Errorf("%s: Match of %d bytes is %v, want %v", name, len(c.line), got, c.want)
		}
	}
	p, err := Compile(`^\d+ (ERROR|WARN) .*timeout$`)
	if err != nil {
		t.Fatal(err)
	}
	line := []byte("17 ERROR request 4711: timeout")
	if n := testing.AllocsPerRun(1000, func() { p.Match(line) }); n != 0 {
		t.Errorf("Match allocates %v times, want 0", n)
	}
}

func FuzzRender(f *testing.F) {
	f.Add(`{{range 100000000000}}{{end}}`)
	f.Add(`{{printf "%*[1]d%v" 3 .}}{{.Created.Format "Jan"}}`)
	f.Add(`{{define "t"}}{{template "t" .}}{{end}}{{with $x := json .}}{{$x | html}}{{end}}`)
	f.Fuzz(func(t *testing.T, text string) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		start := threadTime()
		got, err := Render(text, testData())
		if spent := threadTime() - start; spent > 50*MaxTime {
			t.Errorf("%q took %v", text, spent)
		}
		if len(got) > MaxText || err != nil && strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("%q gives %d bytes, %v", text, len(got), err)
		}
	})
}

func FuzzCompile(f *testing.F) {
	f.Add(`(a{30}){30}`, "aaa")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		p, err := Compile(pattern)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("error %q is more than one line", err)
			}
			return
		}
		_ = p.Names(slices.Values([]string{name}), func(got string) {
			if got != name {
				t.Errorf("picked %q of %q", got, name)
			}
		})
	})
}
