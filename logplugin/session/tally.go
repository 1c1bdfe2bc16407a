package session

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/secretref/secretref/logplugin/router"
)

// target is where lines go, as a person names it.
type target struct{ router, address string }

// A host has few routers. Should containers name ever new addresses, the rest is counted together.
const maxTargets = 100

// tally counts what went to one target. It outlives the sessions and the router.
type tally struct {
	sent, rejected, dropped, filtered, limited atomic.Int64 // lines

	mu       sync.Mutex
	requests map[router.Class]uint64 // "" = taken
	took     time.Duration
	success  time.Time // of the last request that was taken; zero = none
	bytes    int64     // of the bodies of these
}

// counted is a router that adds what it has taken to a tally.
type counted struct {
	router.Router
	tally *tally
}

// Send adds the size of b before compression.
func (c counted) Send(ctx context.Context, b *router.Batch) error {
	err := c.Router.Send(ctx, b)
	if err == nil {
		c.tally.mu.Lock()
		defer c.tally.mu.Unlock()
		c.tally.success = time.Now()
		c.tally.bytes += int64(len(b.Body))
	}
	return err
}

func (t *tally) observe(class router.Class, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.requests[class]++
	t.took += took
}

// tallyOf returns the tally of a target. Call it under mu.
func (ds *destinations) tallyOf(w target) *tally {
	if ds.tallies[w] == nil && len(ds.tallies) >= maxTargets {
		w = target{w.router, "other"}
	}
	t := ds.tallies[w]
	if t == nil {
		t = &tally{requests: map[router.Class]uint64{}}
		ds.tallies[w] = t
	}
	return t
}

// addDropped adds lines that the spool of an ended session has lost.
func (ds *destinations) addDropped(w target, lines int64) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	ds.tallyOf(w).dropped.Add(lines)
}

// counts returns what went to each target.
func (ds *destinations) counts() map[target]*Tally {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	found := map[target]*Tally{}
	for w, t := range ds.tallies {
		t.mu.Lock()
		found[w] = &Tally{
			Router: w.router, Address: w.address, Sent: t.sent.Load(), Rejected: t.rejected.Load(), Dropped: t.dropped.Load(), Filtered: t.filtered.Load(), Limited: t.limited.Load(),
			Requests: maps.Clone(t.requests), RequestTime: t.took, LastSuccess: t.success, Bytes: t.bytes,
		}
		t.mu.Unlock()
	}
	return found
}

// Tally is what went to one target since the process began, and what is there for it now.
type Tally struct {
	Router, Address         string // Address is "" where a reference gives it
	Sent, Rejected, Dropped int64  // lines; Dropped also counts what a container's spool has lost
	Filtered, Limited       int64  // lines that patterns have left out, and those that max-rate has
	Requests                map[router.Class]uint64
	RequestTime             time.Duration // of all requests together
	LastSuccess             time.Time     // of a request; zero means none
	Bytes                   int64         // of encoded lines that were taken, before compression
	Sessions                int
	WaitingBytes            int64
	WaitingFor              time.Duration // the oldest line
	Failing                 bool          // the last request has failed, or what stood before it
}

// Tallies returns one for each target, sorted, and how many containers were refused.
func (s *Sessions) Tallies() (tallies []Tally, refused uint64) {
	s.mu.Lock()
	found := s.destinations.counts()
	present := slices.Collect(maps.Values(s.byFile)) // with the counts of the moment: a session counts here or there
	s.mu.Unlock()
	for _, x := range present {
		w := x.target()
		t := found[w]
		if t == nil {
			if t = found[target{w.router, "other"}]; t == nil {
				t = &Tally{Router: w.router, Address: w.address}
				found[w] = t
			}
		}
		st := x.status()
		t.Sessions++
		t.Dropped += x.feed.dropped()
		t.WaitingBytes += st.WaitingBytes
		t.WaitingFor = max(t.WaitingFor, st.WaitingFor)
		t.Failing = t.Failing || st.LastError != ""
	}
	for _, t := range found {
		tallies = append(tallies, *t)
	}
	slices.SortFunc(tallies, func(a, b Tally) int {
		return cmp.Or(cmp.Compare(a.Router, b.Router), cmp.Compare(a.Address, b.Address))
	})
	return tallies, s.admission.refused.Load()
}
