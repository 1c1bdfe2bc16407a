package delivery

import (
	"slices"
	"sort"

	"github.com/secretref/secretref/logplugin/router"
)

// batch is one batch under way, and how far the records of each feed are. The records before next of a part are settled:
// taken by the receiver, or dropped. After them come those that the receiver has refused since the batch was last tried
// from its start, each of them alone; whether they are dropped is not decided yet. The others wait to be sent.
//
// Requests go through the batch from left to right, except while records are tried alone: then the parts take turns, so
// that one feed with nothing but bad records does not hide that the receiver takes those of others. The records of one
// feed are always tried in order.
type batch struct {
	router.Batch
	parts []part

	longest  int  // records of one request; 0 = no limit
	suspect  int  // the record that the receiver complains of, to be tried alone; -1 = none
	accepted bool // the receiver has taken a record since the last failure
	alone    bool // records are tried alone, until one is taken
	turn     int  // of which part, then
	tried    int  // how many were refused alone since the batch was last tried from its start
	kept     bool // more lines may be added before the next request
}

// part is the records of one Fill: those from the end of the part before to end-1.
type part struct {
	feed     Feed // nil = settled, and its feed knows
	next     int
	refused  int // records from next on
	counted  int // the records before this one have been counted as refused
	end      int
	before   int  // the part with the earlier records of the same feed; -1 = none
	followed bool // another part has the later records of the same feed
	more     bool // the feed has lines after these
	rejected int
}

// A batch with one very long record grows past the others. It gives back what is more than this when it is done.
const idleBytes = 2 << 20

// reset empties b and keeps its memory, up to idleBytes.
func (b *batch) reset() {
	parts := b.parts
	clear(parts)
	b.Batch.Reset()
	if cap(b.Body) > idleBytes {
		b.Body = nil
	}
	*b = batch{Batch: b.Batch, parts: parts[:0], suspect: -1}
}

// add makes a part of the records that f has appended last.
func (b *batch) add(f Feed, before int, more bool) {
	start := 0
	if n := len(b.parts); n > 0 {
		start = b.parts[n-1].end
	}
	if before >= 0 {
		b.parts[before].followed = true
	}
	b.parts = append(b.parts, part{feed: f, next: start, counted: start, end: b.Len(), before: before, more: more})
}

// restart makes the refused records wait again: what refused them may be different at the next try. How far the search for
// a bad record has come stays, unless all of the batch is to be tried.
func (b *batch) restart(all bool) {
	b.retryRefused()
	b.tried, b.accepted, b.alone = 0, false, false
	if all {
		b.longest, b.suspect = 0, -1
	}
}

func (p *part) untried() bool { return p.next+p.refused < p.end }

// waits reports whether a record can be tried now.
func (b *batch) waits() bool {
	return slices.ContainsFunc(b.parts, func(p part) bool { return p.untried() })
}

// isSettled reports whether all records are taken or dropped.
func (b *batch) isSettled() bool {
	return !slices.ContainsFunc(b.parts, func(p part) bool { return p.next < p.end })
}

// waitsBefore reports whether records of the feed of part i wait that are before it.
func (b *batch) waitsBefore(i int) bool {
	for at := b.parts[i].before; at >= 0; at = b.parts[at].before {
		if b.parts[at].next < b.parts[at].end {
			return true
		}
	}
	return false
}

// choose returns the records from to to-1 as those of the next request: no more than limit bytes of them, but always one.
func (b *batch) choose(limit int) (from, to int) {
	if b.alone {
		return b.chooseAlone()
	}
	i := slices.IndexFunc(b.parts, func(p part) bool { return p.untried() })
	if i < 0 {
		return 0, 0
	}
	from, to = b.parts[i].next, b.parts[i].end
	for _, p := range b.parts[i+1:] {
		if p.next != to {
			break // its first records are settled
		}
		to = p.end
	}
	if b.longest > 0 {
		to = min(to, from+b.longest)
	}
	switch {
	case b.suspect == from:
		to = from + 1
	case b.suspect > from:
		to = min(to, b.suspect)
	}
	start := b.Start(from)
	fit := sort.Search(to-from, func(n int) bool { return b.Ends[from+n]-start > limit })
	return from, from + max(1, fit)
}

func (b *batch) chooseAlone() (from, to int) {
	for range b.parts {
		p := &b.parts[b.turn%len(b.parts)]
		b.turn++
		if at := p.next + p.refused; p.untried() && (p.before < 0 || !b.parts[p.before].untried()) {
			return at, at + 1
		}
	}
	return 0, 0
}

// partOf returns the index of the part with the record.
func (b *batch) partOf(record int) int {
	return sort.Search(len(b.parts), func(i int) bool { return record < b.parts[i].end })
}

// take settles the records from to to-1: the receiver has them. Those before them of the same part are settled already, or
// were refused alone: then the request had one record, which is taken out of b, and those before it stay.
func (b *batch) take(from, to int) {
	b.accepted, b.alone = true, false
	if b.parts[b.partOf(from)].refused > 0 {
		b.remove(from, []bool{true})
		return
	}
	for i := b.partOf(from); from < to; i++ {
		p := &b.parts[i]
		p.next = min(to, p.end)
		from = p.next
	}
}

// remove takes records from at on out of b: those that are settled, though others before them are not. The records before at
// stay where they are.
func (b *batch) remove(at int, gone []bool) {
	moved := make([]int, 0, b.Len()-at+1) // where each record from at on is afterwards
	to := at
	for i := at; i <= b.Len(); i++ {
		moved = append(moved, to)
		if i-at >= len(gone) || !gone[i-at] {
			to++
		}
	}
	for i := range b.parts {
		p := &b.parts[i]
		for _, index := range []*int{&p.next, &p.counted, &p.end} {
			if *index > at {
				*index = moved[*index-at]
			}
		}
	}
	if b.suspect >= at {
		b.suspect = -1
	}
	b.Remove(at, gone)
}

// widen makes the next request longer, after one of n records.
func (b *batch) widen(n int) {
	if b.longest > 0 {
		b.longest = max(2*n, b.longest)
	}
	if b.longest >= b.Len() {
		b.longest = 0
	}
}

// narrow makes the next request shorter, after n records from from on were refused together.
func (b *batch) narrow(from, n int, e *router.Error) {
	if e.Class == router.ClassBadRecords && e.Bad >= 0 && e.Bad < n {
		b.suspect = from + e.Bad
		return
	}
	b.longest = n / 2
}

// records returns the records from to to-1 as a batch of their own, which shares b's memory.
func (b *batch) records(from, to int) *router.Batch {
	if from == 0 && to == b.Len() {
		return &b.Batch
	}
	return b.Slice(from, to)
}

// size returns the bytes of the records from to to-1.
func (b *batch) size(from, to int) int { return b.Ends[to-1] - b.Start(from) }
