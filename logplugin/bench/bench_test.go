package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
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

func TestRatio(t *testing.T) {
	ours := []spent{{wall: 4}, {wall: 10}, {wall: 3}}
	peers := []spent{{wall: 2}, {wall: 10}, {wall: 1}}
	if got := ratio(ours, peers, spent.time); got.Median != 2 {
		t.Errorf("ratio = %+v, want that of the pairs 2, 1, 3", got)
	}
	if got := median(ours, spent.time); got != 4 {
		t.Errorf("median = %v, want 4", got)
	}
}

func TestReports(t *testing.T) {
	var out strings.Builder
	splunk := targets[0]
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	runs := map[string][]spent{
		none: {{wall: ms(100), daemon: ms(10)}}, jsonFile: {{wall: ms(500), daemon: ms(300)}},
		"secretref, splunk": {{wall: ms(600), daemon: ms(200), plugin: ms(70)}}, "Docker's splunk": {{wall: ms(800), daemon: ms(540)}},
	}
	setups := []setup{{name: none}, {name: jsonFile}, {name: "secretref, splunk", plugin: &process{}}, {name: "Docker's splunk"}}
	fed := map[target][]alone{}
	for _, x := range targets {
		fed[x] = []alone{{cpu: 0.6, allocs: 0.04}}
	}
	fed[splunk] = []alone{{cpu: 0.8, allocs: 1.04}}
	q := quiet{sessions: 1000, before: 1 << 20, anon: 65 << 20, requests: 4.2, cpu: ms(30), lastAnon: 66 << 20, reopened: ms(1500)}
	const lines = 100_000
	err := errors.Join(reportContainers(&out, setups, runs, lines), reportRatios(&out, runs), reportAlone(&out, fed, runs, lines), reportQuiet(&out, q))
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"secretref, splunk 600 ms 2.00 0.70 2.70", "Docker's splunk 800 ms 5.40 - 5.40",
		"splunk / json-file 1.20 (1.20-1.20) 0.90 (0.90-0.90) <= 1.0 NOT met", "splunk / Docker's own 0.75 (0.75-0.75) 0.50 (0.50-0.50) -",
		"splunk 0.80 (0.80-0.80) <= 0.7 NOT met 1.040 0 NOT met 0.70 5.30", "fluentd 0.60 (0.60-0.60) <= 0.7 met 0.040 0 met - -",
		"65.0 MiB <= 64 MiB NOT met", "4.2 <= 5 met", "1.50 s <= 1 s NOT met", "3.0 % of a core",
	} {
		if !strings.Contains(words, want) {
			t.Errorf("the report has no %q:\n%s", want, out.String())
		}
	}
}

func TestArguments(t *testing.T) {
	for _, args := range [][]string{{"-lines", "0"}, {"-pairs", "3"}, {"more"}, {"-only", "("}} {
		if got := run(t.Context(), args, io.Discard, io.Discard); got != 2 {
			t.Errorf("bench %q: status %d, want 2", args, got)
		}
	}
}
