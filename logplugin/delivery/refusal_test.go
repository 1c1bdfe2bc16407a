package delivery

import (
	"bytes"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secretref/secretref/logplugin/router"
)

// refusing answers as a receiver that will not take the lines that bad reports. With hint it says which one.
func refusing(class router.Class, hint bool, bad func(line string) bool) func(int, []string) error {
	return func(_ int, lines []string) error {
		i := slices.IndexFunc(lines, bad)
		if i < 0 {
			return nil
		}
		e := failure(class)
		if hint {
			e.Bad = i
		}
		return e
	}
}

func isAny(string) bool { return true }

// set changes the receiver's answer.
func (r *receiver) set(answer func(int, []string) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func (f *feed) counts() (sent, rejected, left int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sent, f.rejected, len(f.lines)
}

// forRefusals runs test for each way in which a receiver refuses.
func forRefusals(t *testing.T, test func(t *testing.T, class router.Class, hint bool)) {
	for _, class := range []router.Class{router.ClassBadRecords, router.ClassTooLarge} {
		for _, hint := range []bool{true, false} {
			t.Run(fmt.Sprint(class, hint), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { test(t, class, hint) })
			})
		}
	}
}

// A receiver that refuses every record loses none: they are kept, the failure shows, and all arrive when it is well.
func TestRefusesEverything(t *testing.T) {
	forRefusals(t, func(t *testing.T, class router.Class, hint bool) {
		r := &receiver{answer: refusing(class, hint, isAny)}
		d := New(r, Config{})
		a, b := newFeed(d, "a"), newFeed(d, "b")
		a.write(500)
		b.write(500)
		time.Sleep(time.Hour)
		s := d.Status()
		if s.Class != router.ClassConfig || s.FailingSince.IsZero() || s.Requests != 0 || !strings.Contains(s.LastError, "refused the last 20 records") {
			t.Errorf("after an hour the status is %+v, want class config", s)
		}
		if n := r.count(); n > 1500 {
			t.Errorf("%d requests in an hour, want at most 1,500", n)
		}
		r.set(nil)
		time.Sleep(time.Minute)
		checkOrder(t, r.lines(), map[string]int{"a": 500, "b": 500})
		if s := d.Status(); s.LastError != "" || !s.FailingSince.IsZero() {
			t.Errorf("when it is well the status is %+v", s)
		}
		_ = d.Close()
		if a.rejected+b.rejected != 0 {
			t.Errorf("%d records are rejected", a.rejected+b.rejected)
		}
	})
}

// A receiver that refuses everything and recovers between any two requests loses no record.
func TestRecoversWithinAPass(t *testing.T) {
	for requests := range 40 {
		forRefusals(t, func(t *testing.T, class router.Class, hint bool) {
			refuse := refusing(class, hint, isAny)
			r := &receiver{answer: func(n int, lines []string) error {
				if n <= requests {
					return refuse(n, lines)
				}
				return nil
			}}
			d := New(r, Config{})
			a, b := newFeed(d, "a"), newFeed(d, "b")
			a.write(50)
			b.write(50)
			time.Sleep(time.Hour)
			for _, f := range []*feed{a, b} {
				if sent, rejected, left := f.counts(); sent != 50 || rejected != 0 || left != 0 {
					t.Errorf("after %d refusals: %d sent, %d rejected, %d left, want 50, 0, 0", requests, sent, rejected, left)
				}
			}
			_ = d.Close()
			got := r.lines()
			slices.Sort(got)
			if got = slices.Compact(got); len(got) != 100 {
				t.Errorf("after %d refusals: %d different lines arrived, want 100", requests, len(got))
			}
		})
	}
}

// One record that is refused alone is kept until another is accepted.
func TestRefusedWithoutOthers(t *testing.T) {
	forRefusals(t, func(t *testing.T, class router.Class, hint bool) {
		r := &receiver{answer: refusing(class, hint, func(l string) bool { return l == "a-0" })}
		d := New(r, Config{})
		a := newFeed(d, "a")
		a.write(1)
		time.Sleep(time.Hour)
		if _, rejected, left := a.counts(); rejected != 0 || left != 1 {
			t.Errorf("%d rejected and %d left after an hour, want 0 and 1", rejected, left)
		}
		if s := d.Status(); s.Class != class || s.LastError == "" {
			t.Errorf("status %+v, want class %s", s, class)
		}
		a.write(2)
		time.Sleep(time.Minute)
		if got := r.lines(); !slices.Equal(got, []string{"a-1", "a-2"}) {
			t.Errorf("took %v, want the two lines that followed", got)
		}
		if sent, rejected, left := a.counts(); sent != 2 || rejected != 1 || left != 0 {
			t.Errorf("%d sent, %d rejected, %d left, want 2, 1, 0", sent, rejected, left)
		}
		if s := d.Status(); s.LastError != "" {
			t.Errorf("status %+v, want no error", s)
		}
		_ = d.Close()
	})
}

// What the receiver has accepted a while ago says nothing of it now.
func TestAcceptedLately(t *testing.T) {
	for _, c := range []struct {
		ago     time.Duration
		dropped int
	}{{9 * time.Minute, 1}, {11 * time.Minute, 0}} {
		synctest.Test(t, func(t *testing.T) {
			r := &receiver{answer: refusing(router.ClassTooLarge, false, func(l string) bool { return l == "a-1" })}
			d := New(r, Config{})
			a := newFeed(d, "a")
			a.write(1)
			time.Sleep(c.ago)
			a.write(1)
			time.Sleep(10 * time.Second)
			if _, rejected, left := a.counts(); rejected != c.dropped || left != 1-c.dropped {
				t.Errorf("after %v: %d rejected, %d left, want %d and %d", c.ago, rejected, left, c.dropped, 1-c.dropped)
			}
			_ = d.Close()
		})
	}
}

// A receiver that was well and then refuses everything costs fewer records than prove it.
func TestRefusesEverythingFromNowOn(t *testing.T) {
	forRefusals(t, func(t *testing.T, class router.Class, hint bool) {
		r := &receiver{}
		d := New(r, Config{})
		a := newFeed(d, "a")
		a.write(10)
		time.Sleep(time.Second)
		r.set(refusing(class, hint, isAny))
		for range 100 {
			a.write(10)
			time.Sleep(time.Second)
		}
		if _, rejected, left := a.counts(); rejected >= refusedInARow || rejected+left != 1000 {
			t.Errorf("%d rejected and %d left of 1,000, want fewer than %d rejected", rejected, left, refusedInARow)
		}
		if s := d.Status(); s.Class != router.ClassConfig {
			t.Errorf("status %+v, want class config", s)
		}
		_ = d.Close()
	})
}

// Any number of bad records in one batch is dropped, when the receiver accepts others of it, wherever those are.
func TestManyBadRecords(t *testing.T) {
	for name, bad := range map[string]func(string) bool{
		"the second feed's": func(l string) bool { return l[0] == 'b' },
		"the first feed's":  func(l string) bool { return l[0] == 'a' },
		"all but one":       func(l string) bool { return l[0] != 'c' && l != "b-99" },
		"every other":       func(l string) bool { return l[0] != 'c' && (l[len(l)-1]-'0')%2 == 0 },
	} {
		t.Run(name, func(t *testing.T) {
			forRefusals(t, func(t *testing.T, class router.Class, hint bool) {
				r := &receiver{answer: refusing(class, hint, bad)}
				d := New(r, Config{})
				first := newFeed(d, "c") // the receiver has accepted something
				first.write(1)
				time.Sleep(time.Second)
				a, b := newFeed(d, "a"), newFeed(d, "b")
				a.write(100)
				b.write(100)
				for range 60 {
					time.Sleep(time.Minute)
					first.write(1)
				}
				_ = d.Close()
				for _, f := range []*feed{a, b} {
					rejected := 0
					for i := range 100 {
						if bad(fmt.Sprintf("%s-%d", f.name, i)) {
							rejected++
						}
					}
					if f.rejected != rejected || f.sent != 100-rejected || len(f.lines) != 0 {
						t.Errorf("%s: %d rejected, %d sent, %d left, want %d rejected", f.name, f.rejected, f.sent, len(f.lines), rejected)
					}
				}
				if n := r.count(); n > 2000 {
					t.Errorf("%d requests for 200 records", n)
				}
			})
		})
	}
}

// A feed of bad records alone does not hide that the receiver accepts those of another feed, and delays them little.
func TestBadFeedBesideAGoodOne(t *testing.T) {
	forRefusals(t, func(t *testing.T, class router.Class, hint bool) {
		r := &receiver{answer: refusing(class, hint, func(l string) bool { return l[0] == 'a' })}
		d := New(r, Config{})
		a, b := newFeed(d, "a"), newFeed(d, "b")
		a.write(1000)
		b.write(1)
		time.Sleep(time.Second)
		if sent, _, _ := b.counts(); sent != 1 {
			t.Errorf("the good feed's line is not there after a second; status %+v", d.Status())
		}
		if _, rejected, left := a.counts(); rejected != 1000 || left != 0 {
			t.Errorf("%d rejected, %d left, want 1000 and 0", rejected, left)
		}
		_ = d.Close()
	})
}

// After a receiver that refused everything is well again, what it refuses then is dropped, and nothing else.
func TestWellAgainWithABadRecord(t *testing.T) {
	forRefusals(t, func(t *testing.T, class router.Class, hint bool) {
		r := &receiver{answer: refusing(class, hint, isAny)}
		d := New(r, Config{})
		a, b := newFeed(d, "a"), newFeed(d, "b")
		a.write(50)
		b.write(50)
		time.Sleep(time.Hour)
		r.set(refusing(class, hint, func(l string) bool { return l == "a-0" || l == "a-1" }))
		time.Sleep(10 * time.Minute)
		_ = d.Close()
		if a.rejected != 2 || a.sent != 48 || b.sent != 50 {
			t.Errorf("a: %d rejected, %d sent; b: %d sent; want 2, 48 and 50", a.rejected, a.sent, b.sent)
		}
	})
}

// What is settled of a batch is committed while the rest of it waits.
func TestCommitsAsItGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		r.answer = func(_ int, lines []string) error {
			for i, l := range lines {
				if l[0] == 'b' {
					r.took = append(r.took, lines[:i]...)
					e := failure(router.ClassRetry)
					e.Delivered = i
					return e
				}
			}
			return nil
		}
		d := New(r, Config{Workers: 1})
		a, b := newFeed(d, "a"), newFeed(d, "b")
		a.write(5)
		b.write(5)
		time.Sleep(time.Minute)
		if sent, _, left := a.counts(); sent != 5 || left != 0 {
			t.Errorf("%d sent and %d left, want 5 and 0", sent, left)
		}
		if sent, _, left := b.counts(); sent != 0 || left != 5 {
			t.Errorf("%d sent and %d left of the other feed, want 0 and 5", sent, left)
		}
		r.set(nil)
		time.Sleep(time.Minute)
		checkOrder(t, r.lines(), map[string]int{"a": 5, "b": 5})
		_ = d.Close()
	})
}

// A dropped record is named by its session and its size, never by its text, and a flood of them is not one of messages.
func TestDroppedRecordsAreNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		r := &receiver{answer: refusing(router.ClassTooLarge, false, func(l string) bool { return l[0] == 'a' })}
		d := New(r, Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
		b, a := newFeed(d, "good"), newFeed(d, "a-canary")
		for range 100 {
			b.write(1)
			a.write(10)
			time.Sleep(time.Second)
		}
		_ = d.Close()
		if a.rejected != 1000 {
			t.Fatalf("%d rejected, want 1000", a.rejected)
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) < dropBurst || len(lines) > dropBurst+11 {
			t.Errorf("%d messages for 1,000 records in 100 s, want %d and one each 10 s", len(lines), dropBurst)
		}
		if first := lines[0]; !strings.Contains(first, `msg="record dropped: the receiver refuses it, and accepts others" session=a-canary bytes=11 class=too_large error="send: test"`) {
			t.Errorf("the first message is %s", first)
		}
		named := 0
		for _, l := range lines {
			var n int
			if _, text, ok := strings.Cut(l, "unnamed="); ok {
				_, _ = fmt.Sscan(text, &n)
			}
			named += 1 + n
		}
		if named < 800 || named > 1000 {
			t.Errorf("the messages speak of %d records, want nearly 1,000 and no more", named)
		}
		if strings.Contains(log.String(), "a-canary-") {
			t.Errorf("a line is in the log: %s", log.String())
		}
	})
}

// What the receiver has accepted of a batch before a long failure says nothing of it afterwards.
func TestAcceptedBeforeAFailure(t *testing.T) {
	forRefusals(t, func(t *testing.T, class router.Class, hint bool) {
		var r *receiver
		r = &receiver{answer: func(call int, lines []string) error {
			e := failure(router.ClassRetry)
			if call == 1 {
				e.Delivered = 1
				r.took = append(r.took, lines[0])
			}
			return e
		}}
		d := New(r, Config{})
		a := newFeed(d, "a")
		a.write(50)
		time.Sleep(2 * time.Hour)
		r.set(refusing(class, hint, isAny))
		time.Sleep(time.Hour)
		r.set(nil)
		time.Sleep(time.Minute)
		checkOrder(t, r.lines(), map[string]int{"a": 50})
		_ = d.Close()
		if a.rejected != 0 || a.sent != 50 {
			t.Errorf("%d rejected, %d sent, want 0 and 50", a.rejected, a.sent)
		}
	})
}

// A session that is discarded is not asked for more lines, also when its batch is kept.
func TestDiscardOfAKeptBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: refusing(router.ClassTooLarge, false, isAny)}
		d := New(r, Config{})
		a := newFeed(d, "a")
		a.write(1)
		time.Sleep(time.Second) // it was refused, and the next try is due later
		a.write(1)
		d.Discard(a)
		time.Sleep(time.Hour)
		_ = d.Close()
		if a.overlapped() || a.sent != 0 {
			t.Errorf("lines were asked for after the session was discarded: %v; %d sent", a.overlapped(), a.sent)
		}
		if n := r.count(); n > 4 {
			t.Errorf("%d requests for a session that was discarded after a second", n)
		}
	})
}

// While the receiver refuses everything, few records are tried at each time, of other sessions each time: those that it
// accepts may be behind many that it does not.
func TestTriesGoRound(t *testing.T) {
	d := &Delivery{config: Config{Log: slog.New(slog.DiscardHandler)}}
	for range refusedInARow {
		d.acceptance.rejected()
	}
	b := &batch{suspect: -1}
	const feeds = 12
	for i := range feeds {
		for range 2 {
			b.Append(plain{}, &router.Record{Line: []byte("line")})
		}
		b.add(&feed{name: fmt.Sprint(i)}, -1, false)
	}
	b.parts[1].next++ // so that the first request of each try has the records of one session alone
	b.parts[0].next++
	tried := map[int]bool{}
	for range 4 {
		for {
			from, to := b.choose(math.MaxInt)
			if to-from == 1 {
				tried[b.partOf(from)] = true
			}
			if d.refused(b, from, to, failure(router.ClassBadRecords)) != nil {
				break
			}
		}
		b.restart(true)
	}
	if len(tried) != feeds {
		t.Errorf("after four tries %d of %d sessions had their turn", len(tried), feeds)
	}
}

// A receiver that takes a batch and says that it has thrown away some of its records is not sent them again: they are
// counted, each of them once.
func TestRefusesSomeUnnamed(t *testing.T) {
	for _, c := range []struct {
		name           string
		refused        int
		a, b           int // rejected
		delivered, log string
	}{
		{"none", 0, 0, 0, "all", ""},
		{"some of the first", 7, 7, 0, "all", "records=7 of=30"},
		{"of both", 12, 10, 2, "all", "records=12 of=30"},
		{"more than there are", 1 << 40, 10, 20, "all", "records=30 of=30"},
		{"of those that were delivered", 5, 4, 0, "4", "records=4 of=4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				r := &receiver{answer: func(call int, lines []string) error {
					if call > 1 {
						return nil
					}
					e := failure(router.ClassBadRecords)
					e.Delivered, e.Refused = len(lines), c.refused
					if c.delivered != "all" {
						e.Class, e.Delivered = router.ClassRetry, 4
					}
					return e
				}}
				d := New(r, Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
				a, b := newFeed(d, "a"), newFeed(d, "b")
				a.write(10)
				b.write(20)
				time.Sleep(time.Minute)
				_ = d.Close()
				if a.rejected != c.a || b.rejected != c.b || a.sent+a.rejected != 10 || b.sent+b.rejected != 20 {
					t.Errorf("a: %d sent, %d rejected; b: %d sent, %d rejected; want %d and %d rejected of 10 and 20", a.sent, a.rejected, b.sent, b.rejected, c.a, c.b)
				}
				if again := len(r.lines()); c.delivered == "all" && again != 0 {
					t.Errorf("%d lines are sent again, want none", again)
				}
				if !strings.Contains(log.String(), c.log) || c.log == "" && log.Len() > 0 {
					t.Errorf("the log is %q, want %q", &log, c.log)
				}
			})
		})
	}
}
