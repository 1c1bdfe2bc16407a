package delivery

import (
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secretref/secretref/logplugin/router"
)

// A batch that is kept takes the lines that follow, but is bounded.
func TestKeptBatchIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const batchBytes = 10_000
		largest := 0
		r := &receiver{answer: func(_ int, lines []string) error {
			largest = max(largest, len(strings.Join(lines, "\n"))+1)
			return failure(router.ClassBadRecords)
		}}
		d := New(r, Config{BatchBytes: batchBytes, Workers: 1})
		var feeds []*feed
		for i := range 100 {
			f := newFeed(d, fmt.Sprintf("feed%d", i))
			feeds = append(feeds, f)
			for range 30 {
				f.write(100)
				time.Sleep(time.Second)
			}
		}
		_ = d.Close()
		held := 0
		for _, f := range feeds {
			for _, l := range f.lines[:f.filled] {
				held += len(l) + 1
			}
		}
		if most := batchBytes + refillBytes + 20; largest > most || held > most || held < refillBytes {
			t.Errorf("requests of up to %d bytes from a batch of %d, want %d to %d", largest, held, refillBytes, most)
		}
	})
}

// The memory that refused records need does not grow with the number of them, nor with time.
func TestRefusalMemory(t *testing.T) {
	forRefusals(t, func(t *testing.T, class router.Class, hint bool) {
		const records = 20_000
		r := &counting{err: failure(class)}
		if hint {
			r.err.Bad = 0
		}
		d := New(r, Config{Workers: 1})
		f := newFeed(d, "a")
		f.write(records)
		before := memory()
		time.Sleep(time.Hour)
		after := memory()
		synctest.Wait()
		n := r.calls
		if n < 100 {
			t.Fatalf("%d requests in an hour", n)
		}
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
			t.Errorf("%d bytes more are in use after %d requests, want at most 4 MiB", grown, n)
		}
		if each := (after.TotalAlloc - before.TotalAlloc) / uint64(n); each > 400<<10 {
			t.Errorf("%d bytes are allocated for each request, want at most 400 KiB", each)
		}
		_ = d.Close()
	})
}

func memory() (m runtime.MemStats) {
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m
}

// TestSettlesWhatItShould checks many batches against receivers that refuse, fail and take parts at random: every good
// record arrives in its feed's order, and no other is dropped.
func TestSettlesWhatItShould(t *testing.T) {
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			random, answers := rand.New(rand.NewPCG(seed, 0)), rand.New(rand.NewPCG(seed, 1)) // of the test and of the receiver
			share := random.Float64() * 0.9
			bad := func(line string) bool {
				return line[0] == 'c' && float64(crc32.ChecksumIEEE([]byte(fmt.Sprint(line, seed)))) < share*math.MaxUint32
			}
			var r *receiver
			r = &receiver{answer: func(_ int, lines []string) error {
				i := slices.IndexFunc(lines, bad)
				e := failure(router.Classes()[answers.IntN(3)])
				switch {
				case answers.IntN(5) == 0:
					e.Delivered = answers.IntN(max(i, 0) + 1)
				case i < 0:
					return nil
				default:
					e.Class = router.ClassBadRecords
					e.Delivered = answers.IntN(i + 1)
					if answers.IntN(2) == 0 {
						e.Bad = answers.IntN(len(lines)) // it may be wrong
					}
				}
				r.took = append(r.took, lines[:e.Delivered]...)
				return e
			}}
			d := New(r, Config{BatchBytes: 100 + random.IntN(3000), Workers: 1 + random.IntN(3)})
			feeds := make([]*feed, 1+random.IntN(8))
			good := newFeed(d, "good") // so that the receiver always accepts something
			for i := range feeds {
				feeds[i] = newFeed(d, fmt.Sprintf("c%d", i))
			}
			for range 5 {
				for _, f := range feeds {
					f.write(random.IntN(40))
				}
				good.write(1)
				time.Sleep(time.Duration(random.IntN(30)) * time.Second)
			}
			for range 300 { // a time in which all is settled
				good.write(1)
				time.Sleep(time.Minute)
			}
			_ = d.Close()
			checkSettled(t, seed, r.took, feeds, bad)
		})
		if t.Failed() {
			return
		}
	}
}

func checkSettled(t *testing.T, seed uint64, took []string, feeds []*feed, bad func(string) bool) {
	t.Helper()
	for _, f := range feeds {
		var want []string
		rejected := 0
		for i := range f.written() {
			if l := fmt.Sprintf("%s-%d", f.name, i); bad(l) {
				rejected++
			} else {
				want = append(want, l)
			}
		}
		var got []string
		for _, l := range took {
			if strings.HasPrefix(l, f.name+"-") {
				got = append(got, l)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("seed %d: took %v, want %v", seed, got, want)
		}
		if f.rejected != rejected || f.sent != len(want) || len(f.lines) != 0 {
			t.Errorf("seed %d: %s: %d rejected, %d sent, %d left, want %d, %d, 0", seed, f.name, f.rejected, f.sent, len(f.lines), rejected, len(want))
		}
	}
}
