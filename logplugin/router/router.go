// Package router is what the log driver knows of all log routers: records and their encoders, batches, the way a router
// is asked to send one, and how it says that it could not.
//
// A router is a subpackage (splunk, fluentd). It promises that Send returns soon after its context ends, keeps nothing
// of the batch, and never shows a credential or a line in an error. It refuses to retry, to wait for better times and to
// drop: an *Error says what may help, and the caller decides, because it knows what else waits.
package router

import (
	"context"
	"time"
)

// Record is one line, or one piece of a long one, ready to be encoded. Its slices are valid only during the call.
type Record struct {
	TimeNano int64  // nanoseconds since 1970, may be negative
	Source   []byte // "stdout", "stderr"
	Line     []byte // no newline at the end
	// Position is that of the record's first byte in the lines of its session. Together with the length of Line it names the
	// record: one that is read again, after a crash, has the same of both. It is negative for a record that stands where
	// lines are missing.
	Position int64
	// The rest is for routers that send long lines in pieces; for others the pieces are joined before.
	PartialID []byte // the same for all pieces of one line
	Ordinal   int32  // 1 is the first piece
	Last      bool
	Partial   bool // also of the last piece
}

// Encoder writes records of one session, whose tag, source, index and labels are fixed for its life. It is safe for use
// by one goroutine at a time.
type Encoder interface {
	// AppendRecord appends r in the router's wire format to dst and returns it. It does not allocate, but to grow dst.
	// Nothing is appended for a record that the format cannot carry: the caller then counts it as delivered.
	AppendRecord(dst []byte, r *Record) []byte
}

// Router delivers batches of encoded records to one log router over one connection configuration.
type Router interface {
	// Send delivers b, or returns an *Error that says whether and how trying again may help. It returns soon after ctx
	// ends and keeps nothing of b. It may be called by several goroutines.
	Send(ctx context.Context, b *Batch) error
	// Close frees connections and ends goroutines. It does not flush. It must not be called during Send.
	Close() error
}

// Gatherer is a Config whose router makes something of many lines of one session: they are kept until there are enough of them.
type Gatherer interface {
	// Gather returns how many bytes of encoded records go in one batch, all of one session, and how long lines wait for more.
	// 0 bytes mean that the router is like others.
	Gather() (bytes int, wait time.Duration)
}

// Verifier is a router whose receiver can be asked, before there is anything to send, whether it is there. It is the
// router's own look after its first session has begun: it sends no record.
type Verifier interface {
	// Verify returns nil or an *Error, like Send. It returns nil when the options say not to look.
	Verify(ctx context.Context) error
}

// CredentialVerifier is a router that can ask its receiver whether it accepts the credentials, for a person who wants to
// know. Where Verify does that already, it is not needed.
type CredentialVerifier interface {
	// VerifyCredentials returns nil or an *Error, like Send. It sends no record.
	VerifyCredentials(ctx context.Context) error
}

// Noter is a router that may have something to say to a person though lines are being delivered.
type Noter interface {
	// Note returns one line; "" means nothing.
	Note() string
}

// Session is what an encoder knows of its container.
type Session struct {
	ID            string // the same for as long as the session lives, and no other session on any host has it
	ContainerID   string // 64 hex digits
	ContainerName string // as the daemon gives it, with a slash in front
	Tag           string // rendered; "" = none
	Host          string // of the machine
	Instance      Instance
	About         About
	// Attrs are the labels and variables that the options labels, labels-regex, env and env-regex have picked.
	Attrs map[string]string
}

// Instance is the EC2 instance that the container runs on. The zero value means that it is not known, or should not be named.
type Instance struct{ ID, Type, Zone, Region, Account string }

// About is what is known of a container besides its name and id; "" = nothing. Who wrote it is the user: it may be anything.
type About struct {
	Image   string // as it was named when the container was made
	Project string // of Docker Compose, or the stack of Docker Swarm
	Service string // in that project or stack
	Swarm   bool   // they are those of Swarm
	ImageID string // "sha256:…"
	Command string // what the container was started with
	Created time.Time
}

// Batch is a sequence of encoded records, of one or more sessions.
type Batch struct {
	Body []byte // the encoded records, one after the other
	Ends []int  // end offset in Body of each record
	Runs []Run  // who encoded them; together the runs cover all records
}

// Run is consecutive records of one encoder.
type Run struct {
	Encoder Encoder
	End     int // index after the run's last record, in Batch.Ends
}

// Append encodes r at the end of b. It returns false when the encoder has left the record out.
func (b *Batch) Append(e Encoder, r *Record) bool {
	before := len(b.Body)
	b.Body = e.AppendRecord(b.Body, r)
	if len(b.Body) == before {
		return false
	}
	b.Ends = append(b.Ends, len(b.Body))
	if n := len(b.Runs); n > 0 && b.Runs[n-1].Encoder == e {
		b.Runs[n-1].End++
	} else {
		b.Runs = append(b.Runs, Run{e, len(b.Ends)})
	}
	return true
}

// Len is the number of records.
func (b *Batch) Len() int { return len(b.Ends) }

// Start is the offset in Body of record i.
func (b *Batch) Start(i int) int {
	if i == 0 {
		return 0
	}
	return b.Ends[i-1]
}

// Reset empties b and keeps its memory.
func (b *Batch) Reset() {
	clear(b.Runs) // lets go of the encoders
	b.Body, b.Ends, b.Runs = b.Body[:0], b.Ends[:0], b.Runs[:0]
}

// Remove takes out of b those of the records from from on for which gone says so, the first of them for the record from.
func (b *Batch) Remove(from int, gone []bool) {
	start := b.Start(from)
	kept, written := from, start
	runs, last := b.Runs[:0], 0
	for _, r := range b.Runs {
		for i := max(from, last); i < r.End; i++ {
			end := b.Ends[i]
			if i-from >= len(gone) || !gone[i-from] {
				written += copy(b.Body[written:], b.Body[start:end])
				b.Ends[kept] = written
				kept++
			}
			start = end
		}
		last = r.End
		if r.End = min(r.End, kept); len(runs) == 0 && r.End > 0 || len(runs) > 0 && r.End > runs[len(runs)-1].End {
			runs = append(runs, r)
		}
	}
	clear(b.Runs[len(runs):]) // lets go of the encoders
	b.Body, b.Ends, b.Runs = b.Body[:written], b.Ends[:kept], runs
}

// Slice returns records from to to-1 as a batch of their own. It shares b's body, but nothing else.
func (b *Batch) Slice(from, to int) *Batch {
	s := &Batch{}
	if from < to {
		s.Ends = make([]int, 0, to-from)
		b.slice(s, from, to)
	}
	return s
}

// slice makes s, which is empty but for memory, records from to to-1 of b.
func (b *Batch) slice(s *Batch, from, to int) {
	first := b.Start(from)
	s.Body = b.Body[first:b.Ends[to-1]:b.Ends[to-1]]
	for _, end := range b.Ends[from:to] {
		s.Ends = append(s.Ends, end-first)
	}
	for _, r := range b.Runs {
		if r.End > from {
			s.Runs = append(s.Runs, Run{r.Encoder, min(r.End, to) - from})
		}
		if r.End >= to {
			break
		}
	}
}
