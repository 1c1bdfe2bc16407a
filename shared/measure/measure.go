// Package measure is what the benchmarks of both programs share: medians, verdicts, and the line that says on which
// machine a figure was taken. Only they may import it.
package measure

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// Machine describes in two lines where and when something was measured. Call it before the measuring raises the load.
func Machine(now time.Time) string {
	var u unix.Utsname
	kernel := "unknown kernel"
	if err := unix.Uname(&u); err == nil {
		kernel = "Linux " + unix.ByteSliceToString(u.Release[:])
	}
	load, _ := os.ReadFile("/proc/loadavg")
	load1, _, _ := strings.Cut(string(load), " ")
	return fmt.Sprintf("%s, %d cores, %s/%s, %s, %s\n%s, load at the start %s",
		cpuModel(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, kernel, runtime.Version(), now.UTC().Format("2006-01-02 15:04 MST"), load1)
}

func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown CPU" // arm64 does not tell
}

// Spread is the middle half of some numbers.
type Spread struct{ Low, Median, High float64 }

// SpreadOf returns the quartiles of numbers, of which there must be one at least.
func SpreadOf(numbers []float64) Spread {
	s := slices.Sorted(slices.Values(numbers))
	last := len(s) - 1
	return Spread{s[last/4], s[last/2], s[last-last/4]}
}

// String has two columns of a Table: the median, then the quartiles.
func (s Spread) String() string { return fmt.Sprintf("%.2f\t(%.2f-%.2f)", s.Median, s.Low, s.High) }

// Verdict is the word for a goal.
func Verdict(met bool) string {
	if met {
		return "met"
	}
	return "NOT met"
}

// Table writes columns that are separated by tabs.
func Table(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }

// MS is a duration as text.
func MS(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond)) }

// Run carries a benchmark out, for at most limit, and returns the exit status of its program. What went wrong goes to
// stderr, with where the benchmark was when it was stopped.
func Run(ctx context.Context, limit time.Duration, stderr io.Writer, bench func(context.Context) error) int {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took longer than %v", limit))
	defer cancel()
	err := bench(ctx)
	if err == nil {
		return 0
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("%w; it was at: %w", context.Cause(ctx), err)
	}
	fmt.Fprintf(stderr, "bench: %v\n", err)
	return 1
}
