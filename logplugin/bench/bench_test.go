package main

import (
	"bytes"
	"encoding/xml"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestCPUOf(t *testing.T) {
	before, err := cpuOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	var start, end unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &start); err != nil {
		t.Fatal(err)
	}
	used := func(u unix.Rusage) time.Duration { return time.Duration(u.Utime.Nano() + u.Stime.Nano()) }
	for used(end)-used(start) < 200*time.Millisecond {
		if err := unix.Getrusage(unix.RUSAGE_SELF, &end); err != nil {
			t.Fatal(err)
		}
	}
	after, err := cpuOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	got, want := after-before, used(end)-used(start)
	if got < want*9/10 || got > want*13/10 {
		t.Errorf("cpuOf counts %v, getrusage %v", got, want)
	}
	if d, err := cpuOf(1 << 22); err == nil { // the largest pid is one less
		t.Errorf("CPU time of no process: %v", d)
	}
}

func TestAnonOf(t *testing.T) {
	before, err := anonOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const size = 64 << 20
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(b) //nolint:errcheck // the test ends
	for i := 0; i < size; i += 4096 {
		b[i] = 1
	}
	after, err := anonOf(os.Getpid())
	if got := after - before; err != nil || got < size*9/10 || got > size*11/10 {
		t.Errorf("anonOf has grown by %d bytes, %v, want about %d", got, err, size)
	}
}

func TestChildren(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "/bin/sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait() //nolint:errcheck // it is killed
	defer func() { _ = cmd.Process.Kill() }()
	if got := children(os.Getpid()); !slices.Contains(got, cmd.Process.Pid) {
		t.Errorf("children = %v, want %d among them", got, cmd.Process.Pid)
	}
}

func TestWrittenBy(t *testing.T) {
	before, err := writtenBy(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const size = 1 << 20
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	after, err := writtenBy(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(file, &fs); err != nil {
		t.Fatal(err)
	}
	want := int64(size)
	if fs.Type == unix.TMPFS_MAGIC {
		want = 0 // no disk
	}
	if got := after - before; got < want {
		t.Errorf("writtenBy has grown by %d bytes, want %d at least", got, want)
	}
}

func TestRatio(t *testing.T) {
	ours := []spent{{round: 0, lines: 1, wall: 4}, {round: 1, lines: 1, wall: 10}, {round: 2, lines: 1, wall: 3}}
	peers := []spent{{round: 0, lines: 1, wall: 2}, {round: 1, lines: 1, wall: 10}, {round: 2, lines: 1, wall: 1}}
	for _, c := range []struct {
		name  string
		peers []spent
		want  float64
		ok    bool
	}{
		{"of the pairs 2, 1, 3", peers, 2, true},
		{"of the pair of the round that both have", peers[1:2], 1, true},
		{"of none", nil, 0, false},
		{"of none with as many lines", []spent{{round: 0, lines: 2, wall: 2}}, 0, false},
	} {
		if got, ok := ratio(ours, c.peers, spent.time); got.Median != c.want || ok != c.ok {
			t.Errorf("%s: ratio = %+v, %v; want %v, %v", c.name, got, ok, c.want, c.ok)
		}
	}
}

// measured are results in which every table has a row.
func measured() *results {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	const lines = 100_000
	r := &results{
		effort: effort{lines: lines, parts: regexp.MustCompile(""), only: regexp.MustCompile(""), alone: regexp.MustCompile(""), paces: regexp.MustCompile("")},
		setups: []setup{{name: none}, {name: jsonFile}, {name: "secretref, splunk", plugin: &process{}}, {name: "Docker's splunk"}},
		runs: map[string][]spent{
			none:                {{lines: lines, wall: ms(100), daemon: ms(10)}},
			jsonFile:            {{lines: lines, wall: ms(500), daemon: ms(300), disk: 200 * lines}},
			"secretref, splunk": {{lines: lines, wall: ms(600), daemon: ms(200), plugin: ms(70), disk: 100 * lines}},
			"Docker's splunk":   {{lines: lines, wall: ms(800), daemon: ms(540)}},
		},
		fed:      map[target][]alone{},
		other:    map[target][]alone{targets[0]: {{cpu: 1.6, allocs: 0.1}}},
		quiet:    []quiet{{sessions: 1000, before: 1 << 20, anon: 65 << 20, requests: 4.2, cpu: ms(30), lastAnon: 66 << 20, reopened: ms(1500)}},
		reading:  map[string][]float64{"secretref, splunk": {800}, jsonFile: {1000}, prepared: {500}},
		followed: map[string]followed{"secretref, splunk": {median: 1, p99: 60}},
		paced:    []paced{{name: collected, size: 512, rate: 1000, core: 0.25, plugin: 0.125, anon: 3 << 20, wire: 64, marks: marks{Duplicates: 2, Median: ms(150), P99: ms(300)}, lost: 1}},
		hanging:  hanging{sessions: 1000, well: worst{ms(60), ms(250), 0}, ill: worst{ms(61), ms(251), 3}},
	}
	for _, x := range targets {
		r.fed[x] = []alone{{cpu: 0.6, allocs: 0.04}}
	}
	r.fed[targets[0]] = []alone{{cpu: 0.8, allocs: 1.04}}
	return r
}

func TestReports(t *testing.T) {
	var out strings.Builder
	if err := measured().write(&out); err != nil {
		t.Fatal(err)
	}
	words := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"secretref, splunk 100000 600 2.00 0.70 2.70 100 1", "Docker's splunk 100000 800 5.40 - 5.40 0 1",
		"splunk: CPU of dockerd and driver / json-file 0.90 (0.90-0.90) <= 0.95 met", "splunk: the container's wall time / json-file 1.20 (1.20-1.20) <= 0.75 NOT met",
		"splunk: bytes written to disk / json-file 0.50 (0.50-0.50) <= 1.10 met", "splunk / Docker's own 0.75 (0.75-0.75) 0.50 (0.50-0.50) -",
		"splunk 0.80 (0.80-0.80) <= 0.7 NOT met 1.040 NOT met 0.70 5.30", "fluentd 0.60 (0.60-0.60) <= 0.7 met 0.040 met - -",
		"docker logs / a plugin that sends what it has prepared 1.60 (1.60-1.60) <= 1.10 NOT met", "docker logs / json-file 0.80 (0.80-0.80) <= 0.80 met",
		"the least that a plugin can take 0.50 (0.50-0.50) -",
		"512 1000 json-file and vlagent 25.0 % 12.5 % 3.0 MiB 64 150.0 ms 300.0 ms 1 2",
		"answers nothing 61.0 ms 251.0 ms 3", "splunk 1.60 (1.60-1.60) 1.60 0.100 0.50 (0.50-0.50) 0.50",
		"65.0 MiB <= 40.0 MiB NOT met", "4.2 <= 5 met", "1.50 s <= 1 s NOT met", "3.0 % of a core",
	} {
		if !strings.Contains(words, want) {
			t.Errorf("the report has no %q:\n%s", want, out.String())
		}
	}
}

// The page has a place for every table but that of another version, which no page shows.
func TestPage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(docs, pageName))
	if err != nil {
		t.Fatal(err)
	}
	r := measured()
	r.machine = "a machine of the test"
	r.other = nil
	page, err := r.fill(string(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a machine of the test\n", "| secretref, splunk | 100000 | 600 |", "| 1.50 s | <= 1 s | NOT met |"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	again, err := r.fill(page)
	if err != nil || again != page {
		t.Errorf("the same results change the page a second time: %v", err)
	}
	r.other = measured().other
	if _, err := r.fill(string(text)); err == nil {
		t.Error("the table of the other version has no place, and fill does not say so")
	}
}

var update = flag.Bool("update", false, "draw the charts of the page anew from the texts beside them")

// docs is the directory of the page.
const docs = "../../packaging/docs"

// The pictures of the page are drawn from the text beside them.
func TestChartsAreDrawn(t *testing.T) {
	sources, err := filepath.Glob(filepath.Join(docs, "performance", "*.tsv"))
	if err != nil || len(sources) == 0 {
		t.Fatalf("%d charts, %v", len(sources), err)
	}
	for _, path := range sources {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want, err := draw(source)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		picture := strings.TrimSuffix(path, ".tsv") + ".svg"
		if *update {
			if err := os.WriteFile(picture, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(picture); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not drawn from the text beside it (%v); go test ./logplugin/bench -run TestChartsAreDrawn -update", picture, err)
		}
	}
}

func TestDraw(t *testing.T) {
	c := chart{title: "a < b", series: []string{"x", "y"}, bars: []bar{{"one & two", []float64{1, 3}}, {"three", []float64{1, 1}}}}
	picture, err := draw(c.source())
	if err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal(picture, new(struct{})); err != nil {
		t.Errorf("it is not XML: %v", err)
	}
	for _, want := range []string{"prefers-color-scheme: dark", ">a &lt; b<", ">one &amp; two<", ">4.00<", `width="110.0"`, `width="330.0"`} {
		if !strings.Contains(string(picture), want) {
			t.Errorf("the picture has no %s:\n%s", want, picture)
		}
	}
	for _, bad := range []string{"", "title\n\tx\n", "title\n\tx\nlabel\n", "title\n\tx\nlabel\tmuch\n"} {
		if picture, err := draw([]byte(bad)); err == nil {
			t.Errorf("draw(%q) = %s, want an error", bad, picture)
		}
	}
}

func TestArguments(t *testing.T) {
	for _, args := range [][]string{{"-lines", "0"}, {"-pairs", "3"}, {"more"}, {"-only", "("}, {"-out", "d", "-parts", "alone"}, {"-window", "0s"}} {
		if got := run(t.Context(), args, io.Discard, io.Discard); got != 2 {
			t.Errorf("bench %q: status %d, want 2", args, got)
		}
	}
}

func TestSumOf(t *testing.T) {
	const text = "# HELP lines_total Lines.\nlines_total{outcome=\"dropped\",router=\"a b\"} 3\nlines_total{outcome=\"sent\"} 5\nlines_total{outcome=\"dropped\"} 4\nlines_total_more 9\nsingle 1.5e+06\nbad x\n"
	for _, c := range []struct {
		name, label string
		want        float64
		found, bad  bool
	}{
		{name: "lines_total", label: `outcome="dropped"`, want: 7, found: true},
		{name: "lines_total", want: 12, found: true},
		{name: "single", want: 1.5e6, found: true},
		{name: "none"},
		{name: "bad", bad: true},
	} {
		if got, found, err := sumOf(text, c.name, c.label); got != c.want || found != c.found || (err != nil) != c.bad {
			t.Errorf("%s %s: %v, %v, %v; want %v, %v, an error: %v", c.name, c.label, got, found, err, c.want, c.found, c.bad)
		}
	}
}

func TestMissing(t *testing.T) {
	for want, p := range map[string]paced{
		"0": {}, "7": {lost: 7}, "818, of which 817 were dropped: the spool was full": {lost: 818, dropped: 817},
	} {
		if got := p.missing(); got != want {
			t.Errorf("%+v: %q, want %q", p, got, want)
		}
	}
}
