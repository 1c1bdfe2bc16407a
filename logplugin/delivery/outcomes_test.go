package delivery

import (
	"fmt"
	"hash/crc32"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secretref/secretref/logplugin/router"
)

// committing is a feed that looks, at each Commit, whether the receiver has what is committed.
type committing struct {
	*feed
	took  func() []string
	early []string // lines that were committed, and were not taken
	bad   func(string) bool
}

func (c *committing) Commit(rejected int) {
	c.mu.Lock()
	took := c.took()
	for _, l := range c.lines[:c.filled] {
		if !c.bad(l) && !slices.Contains(took, l) {
			c.early = append(c.early, l)
		}
	}
	c.mu.Unlock()
	c.feed.Commit(rejected)
}

// TestOutcomes checks many batches against a receiver that answers record by record, and takes, refuses and puts off records at
// random: every good record is taken once, no other is, and nothing is committed before.
// A receiver that puts off a few records of each request and takes the others has what waits for it soon after an outage: the pauses grow
// only while most of a request is put off.
func TestPutOffBesideTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const feeds, lines, outage = 8, 500, 10 * time.Minute
		var mu sync.Mutex
		asked, taken, began := 0, 0, time.Now()
		var took time.Duration // from the end of the outage to the last record
		r := &receiver{answer: func(_ int, all []string) error {
			mu.Lock()
			defer mu.Unlock()
			e := failure(router.ClassRetry)
			if time.Since(began) < outage {
				return e
			}
			for range all {
				if asked++; asked%15 == 0 {
					e.Outcomes = append(e.Outcomes, router.Again)
					continue
				}
				e.Outcomes = append(e.Outcomes, router.Taken)
				taken++
			}
			if taken == feeds*lines {
				took = time.Since(began) - outage
			}
			if !slices.Contains(e.Outcomes, router.Again) {
				return nil
			}
			return e
		}}
		d := New(r, Config{Workers: feeds, BatchBytes: 200})
		for i := range feeds {
			newFeed(d, fmt.Sprintf("c%d", i)).write(lines)
		}
		time.Sleep(outage + time.Hour)
		_ = d.Close()
		if most := longestPause + time.Duration(r.count())*firstPause; taken != feeds*lines || took > most {
			t.Errorf("%d of %d lines were taken in %v with %d requests, want all in %v", taken, feeds*lines, took, r.count(), most)
		}
	})
}

func TestOutcomes(t *testing.T) {
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			random, answers := rand.New(rand.NewPCG(seed, 0)), rand.New(rand.NewPCG(seed, 1)) // of the test and of the receiver
			share := random.Float64() * 0.5
			bad := func(line string) bool {
				return line[0] == 'c' && float64(crc32.ChecksumIEEE([]byte(fmt.Sprint(line, seed)))) < share*math.MaxUint32
			}
			var mu sync.Mutex
			var took []string
			r := &receiver{answer: func(_ int, lines []string) error {
				mu.Lock()
				defer mu.Unlock()
				e := failure(router.ClassBadRecords)
				if answers.IntN(4) == 0 {
					e.Delivered = answers.IntN(1 + max(slices.IndexFunc(lines, bad), 0))
				}
				took = append(took, lines[:e.Delivered]...)
				left := false
				for _, l := range lines[e.Delivered:] {
					switch {
					case bad(l):
						e.Outcomes = append(e.Outcomes, router.Refused)
					case answers.IntN(3) == 0:
						e.Outcomes = append(e.Outcomes, router.Again)
						e.Class = []router.Class{router.ClassRetry, router.ClassConfig, router.ClassCredentials}[answers.IntN(3)]
					case left && answers.IntN(4) == 0: // the rest was not sent
						return e
					default:
						e.Outcomes = append(e.Outcomes, router.Taken)
						took = append(took, l)
					}
					left = left || e.Class != router.ClassBadRecords
				}
				return e
			}}
			d := New(r, Config{BatchBytes: 100 + random.IntN(3000), Workers: 1 + random.IntN(3)})
			var feeds []*committing
			for i := range 2 + random.IntN(8) {
				name := fmt.Sprintf("c%d", i)
				if i == 0 {
					name = "good" // so that the receiver always accepts something
				}
				f := &committing{feed: &feed{name: name, d: d}, bad: bad, took: func() []string {
					mu.Lock()
					defer mu.Unlock()
					return slices.Clone(took)
				}}
				d.Add(f)
				feeds = append(feeds, f)
			}
			write := func(f *committing, n int) {
				f.mu.Lock()
				for range n {
					f.lines = append(f.lines, fmt.Sprintf("%s-%d", f.name, f.count))
					f.count++
				}
				f.mu.Unlock()
				d.Ready(f)
			}
			for range 5 {
				for _, f := range feeds {
					write(f, random.IntN(40))
				}
				time.Sleep(time.Duration(random.IntN(30)) * time.Second)
			}
			for range 50 { // so that the receiver accepts something
				write(feeds[0], 1)
				time.Sleep(time.Minute)
			}
			time.Sleep(12 * time.Hour) // in which all is settled
			_ = d.Close()
			checkOutcomes(t, seed, took, feeds)
		})
		if t.Failed() {
			return
		}
	}
}

func checkOutcomes(t *testing.T, seed uint64, took []string, feeds []*committing) {
	t.Helper()
	for _, f := range feeds {
		var want []string
		rejected := 0
		for i := range f.written() {
			if l := fmt.Sprintf("%s-%d", f.name, i); f.bad(l) {
				rejected++
			} else {
				want = append(want, l)
			}
		}
		got := slices.DeleteFunc(slices.Clone(took), func(l string) bool { return !strings.HasPrefix(l, f.name+"-") })
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("seed %d: %s: took %d records, want %d, each once", seed, f.name, len(got), len(want))
		}
		if f.rejected != rejected || f.sent != len(want) || f.left() != 0 || len(f.early) != 0 {
			t.Errorf("seed %d: %s: %d rejected, %d sent, %d left, %d committed too early, want %d, %d, 0, 0", seed, f.name, f.rejected, f.sent, f.left(), len(f.early), rejected, len(want))
		}
	}
}

// Records that are refused beside others that only wait are kept until the receiver has accepted one.
func TestRefusedBesideWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var requests []string
		r := &receiver{answer: func(call int, lines []string) error {
			requests = append(requests, strings.Join(lines, " "))
			e := failure(router.ClassRetry)
			switch call {
			case 1:
				e.Outcomes = []router.Outcome{router.Refused, router.Again, router.Again}
			case 2:
				e.Outcomes = []router.Outcome{router.Refused, router.Again, router.Taken}
			default:
				return nil
			}
			return e
		}}
		var log strings.Builder
		d := New(r, Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
		f := newFeed(d, "a")
		f.write(3)
		time.Sleep(time.Minute)
		_ = d.Close()
		if want := []string{"a-0 a-1 a-2", "a-0 a-1 a-2", "a-1"}; !slices.Equal(requests, want) || f.rejected != 1 || f.sent != 2 {
			t.Errorf("requests %q, %d rejected, %d sent; want %q, 1, 2", requests, f.rejected, f.sent, want)
		}
		if n := strings.Count(log.String(), "record dropped"); n != 1 {
			t.Errorf("%d dropped records are in the log, want 1:\n%s", n, &log)
		}
	})
}

// A receiver that refuses every record one by one is a fault of the configuration: lines are kept.
func TestRefusesEachOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: func(_ int, lines []string) error {
			e := failure(router.ClassBadRecords)
			e.Outcomes = slices.Repeat([]router.Outcome{router.Refused}, len(lines))
			return e
		}}
		d := New(r, Config{})
		f := newFeed(d, "a")
		f.write(100)
		time.Sleep(time.Hour)
		if s := d.Status(); s.Class != router.ClassConfig || f.left() != 100 || f.rejected != 0 {
			t.Errorf("class %q, %d lines left, %d rejected; want config, 100, 0", s.Class, f.left(), f.rejected)
		}
		_ = d.Close()
	})
}

// Lines that are taken before others of their feed, which are in the same batch, are not committed before them.
func TestTakenBeforeEarlierLines(t *testing.T) {
	d := New(&receiver{}, Config{})
	_ = d.Close() // from here on the test does what a worker does
	f := newFeed(d, "a")
	f.write(2)
	var b batch
	b.reset()
	d.take()
	b.add(f, -1, f.Fill(&b.Batch, 1))
	b.add(f, 0, f.Fill(&b.Batch, 1<<20))
	if len(b.parts) != 2 || b.Len() != 2 {
		t.Fatalf("%d parts of %d lines, want 2 of 2", len(b.parts), b.Len())
	}
	e := failure(router.ClassRetry)
	e.Outcomes = []router.Outcome{router.Again, router.Taken}
	if to, e := d.took(&b, 0, 2, e); to != 1 || e == nil {
		t.Errorf("%d, %v; want 1 record left", to, e)
	}
	if d.settle(&b); f.sent != 0 {
		t.Errorf("%d lines are committed while the first waits", f.sent)
	}
	b.take(0, 1)
	if d.settle(&b); f.sent != 2 || !b.isSettled() {
		t.Errorf("%d lines are committed, want 2", f.sent)
	}
}

// Records that a receiver discards with a request that it accepts are given up at once, though it has taken no other.
func TestDiscarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		r := &receiver{answer: func(_ int, lines []string) error {
			calls++
			e := failure(router.ClassBadRecords)
			e.Outcomes = slices.Repeat([]router.Outcome{router.Discarded}, len(lines))
			return e
		}}
		d := New(r, Config{})
		f := newFeed(d, "a")
		f.write(100)
		time.Sleep(time.Minute)
		if s := d.Status(); s.LastError != "" || f.left() != 0 || f.rejected != 100 || f.sent != 0 || calls != 1 {
			t.Errorf("error %q, %d lines left, %d rejected, %d sent in %d requests; want none, 0, 100, 0 in 1", s.LastError, f.left(), f.rejected, f.sent, calls)
		}
		_ = d.Close()
	})
}
