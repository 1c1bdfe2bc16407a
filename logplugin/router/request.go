package router

import (
	"context"
	"slices"
	"sync"
)

// Fit returns the end of the records from from on that fit into one request of so many records and bytes. It is one record
// at least.
func (b *Batch) Fit(from, records, bytes int) (to int) {
	for to = from + 1; to < b.Len() && to-from < records && b.Ends[to]-b.Start(from) <= bytes; {
		to++
	}
	return to
}

// FitAlike is Fit for records of encoders that are alike. The first of them is one of the record from.
func (b *Batch) FitAlike(from, records, bytes int, alike func(first, e Encoder) bool) (to int) {
	to = b.Fit(from, records, bytes)
	var first Encoder
	start := from // of the run
	for _, run := range b.Runs {
		switch {
		case run.End <= from:
			continue
		case first == nil:
			first = run.Encoder
		case start >= to:
			return to
		case !alike(first, run.Encoder):
			return start
		}
		start = run.End
	}
	return to
}

// SendParts calls send for the parts of b that fit into one request each, in order, until one leaves records that are to be sent
// again. Its error counts the records of b.
func (b *Batch) SendParts(records, bytes int, send func(part *Batch) *Error) error {
	if failed := b.sendParts(func(from int) int { return b.Fit(from, records, bytes) }, send); failed != nil {
		return failed
	}
	return nil
}

// SendAlike is SendParts where all records of a part are of encoders that are alike: see FitAlike.
func (b *Batch) SendAlike(records, bytes int, alike func(first, e Encoder) bool, send func(part *Batch) *Error) error {
	if failed := b.sendParts(func(from int) int { return b.FitAlike(from, records, bytes, alike) }, send); failed != nil {
		return failed
	}
	return nil
}

func (b *Batch) sendParts(fit func(from int) (to int), send func(part *Batch) *Error) *Error {
	var refused *Error // of parts of which nothing is left to send
	for from := 0; from < b.Len(); {
		to := fit(from)
		failed := b.sendPart(from, to, send)
		switch {
		case failed == nil && refused != nil:
			refused.settled(to - from)
		case failed == nil:
		case failed.settles(to - from):
			refused = refused.and(failed, from)
		default:
			return refused.and(failed, from)
		}
		from = to
	}
	return refused
}

// sliceMemory is that of parts of batches. Send keeps nothing of them.
var sliceMemory = sync.Pool{New: func() any { return &Batch{} }}

func (b *Batch) sendPart(from, to int, send func(part *Batch) *Error) *Error {
	if from == 0 && to == b.Len() {
		return send(b)
	}
	part, _ := sliceMemory.Get().(*Batch)
	defer func() {
		part.Body = nil
		part.Reset()
		sliceMemory.Put(part)
	}()
	b.slice(part, from, to)
	return send(part)
}

// settles reports whether all n records of a request were taken or refused for good, with an outcome for each.
func (e *Error) settles(n int) bool {
	return e.Delivered == 0 && len(e.Outcomes) == n && !slices.Contains(e.Outcomes, Again)
}

// settled adds n records that were taken.
func (e *Error) settled(n int) {
	for range n {
		e.Outcomes = append(e.Outcomes, Taken)
	}
}

// and returns next, the error of the records from from on, with the outcomes of e, which is about those before it, if it is
// not nil.
func (e *Error) and(next *Error, from int) *Error {
	if next.Bad != NoRecord {
		next.Bad += from
	}
	if e == nil {
		next.Delivered += from
		return next
	}
	e.settled(next.Delivered)
	next.Delivered, next.Outcomes = e.Delivered, append(e.Outcomes, next.Outcomes...)
	return next
}

// Buffers are memory for the bodies of requests.
type Buffers struct{ pool sync.Pool }

// Get returns a buffer of length 0 or more.
func (b *Buffers) Get() *[]byte {
	if buf, ok := b.pool.Get().(*[]byte); ok {
		return buf
	}
	return new([]byte)
}

// Put gives a buffer back.
func (b *Buffers) Put(buf *[]byte) {
	if cap(*buf) <= maxKept {
		b.pool.Put(buf)
	}
}

// Judge makes an error of the answer to n records, for a receiver whose status alone says what became of them: accepted means
// that it has them all, and 400 that it will never take some of them. hint is for another status that looks like a yes.
func (a *Answer) Judge(op string, n, accepted int, hint string) *Error {
	if a.Status == accepted && !a.HTML {
		return nil
	}
	e := &Error{Op: op, Cause: a.Cause(), Bad: NoRecord, RetryAfter: a.RetryAfter}
	e.Class, e.Hint = a.Class()
	switch {
	case e.Class == "":
		e.Class, e.Hint = ClassConfig, hint
	case a.Status == 400 && !a.HTML:
		e.Class = ClassBadRecords
		if n == 1 {
			e.Bad = 0
		}
	}
	return e
}

// NewEncoder asks for the options of a session, and makes its encoder of them. op is for errors.
func (o Options) NewEncoder(ctx context.Context, op string, list []Option, read func(*Values) Encoder) (Encoder, error) {
	v, err := o.Session(ctx, list)
	if err != nil {
		return nil, FromSource(op, err)
	}
	e := read(v)
	if err := v.Err(); err != nil {
		return nil, &Error{Class: ClassConfig, Op: op, Cause: err.Error(), Bad: NoRecord}
	}
	return e, nil
}
