package router

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// letters encodes a line as it is.
type letters struct{}

func (letters) AppendRecord(dst []byte, r *Record) []byte { return append(dst, r.Line...) }

func batchOf(lines ...string) *Batch {
	b := &Batch{}
	for _, l := range lines {
		b.Append(letters{}, &Record{Line: []byte(l)})
	}
	return b
}

func recordsOf(b *Batch) (lines []string) {
	for i, end := range b.Ends {
		lines = append(lines, string(b.Body[b.Start(i):end]))
	}
	return lines
}

// What is left of a batch is whole, whichever records are taken out.
func TestRemove(t *testing.T) {
	all := []string{"a", "bb", "ccc", "dddd", "e"}
	encoders := []*tagged{{tag: "1"}, {tag: "2"}, {tag: "3"}}
	of := []int{0, 0, 1, 1, 2} // which of them has written each
	for gone := range 1 << len(all) {
		for from := range all {
			b := &Batch{}
			var want, wantOf []string
			flags := make([]bool, 0, len(all))
			for i, l := range all {
				b.Append(encoders[of[i]], &Record{Line: []byte(l)})
				out := gone>>i&1 == 1
				if i >= from {
					flags = append(flags, out)
				}
				if i < from || !out {
					want, wantOf = append(want, l), append(wantOf, encoders[of[i]].tag)
				}
			}
			b.Remove(from, flags)
			var gotOf []string
			at := 0
			for _, r := range b.Runs {
				if r.End <= at {
					t.Fatalf("from %d, gone %05b: runs %+v", from, gone, b.Runs)
				}
				for ; at < r.End; at++ {
					gotOf = append(gotOf, r.Encoder.(*tagged).tag)
				}
			}
			if got := recordsOf(b); !slices.Equal(got, want) || !slices.Equal(gotOf, wantOf) || len(b.Body) != len(strings.Join(want, "")) {
				t.Fatalf("from %d, gone %05b: %q of %q, want %q of %q", from, gone, got, gotOf, want, wantOf)
			}
		}
	}
}

// tagged is an encoder with a name.
type tagged struct {
	letters
	tag string
}

// Requests of which nothing is left to send do not keep the next from being made, and no outcome gets lost.
func TestSendParts(t *testing.T) {
	const (
		again, taken, refused = Again, Taken, Refused
	)
	outcomes := func(c Class, delivered int, all ...Outcome) *Error {
		return &Error{Class: c, Delivered: delivered, Outcomes: all, Bad: NoRecord}
	}
	for _, c := range []struct {
		name     string
		answers  []*Error // to requests of two records
		requests int
		want     *Error
	}{
		{"all taken", []*Error{nil, nil, nil}, 3, nil},
		{"the second fails", []*Error{nil, {Class: ClassRetry, Bad: NoRecord}}, 2, &Error{Class: ClassRetry, Delivered: 2, Bad: NoRecord}},
		{"a bad one in the second", []*Error{nil, {Class: ClassBadRecords, Bad: 1}}, 2, &Error{Class: ClassBadRecords, Delivered: 2, Bad: 3}},
		{"one is refused", []*Error{nil, outcomes(ClassBadRecords, 0, taken, refused), nil}, 3, outcomes(ClassBadRecords, 2, taken, refused, taken, taken)},
		{"one is put off", []*Error{outcomes(ClassBadRecords, 0, refused, taken), outcomes(ClassRetry, 0, taken, again)}, 2, outcomes(ClassRetry, 0, refused, taken, taken, again)},
		{"refused, then a failure", []*Error{outcomes(ClassBadRecords, 0, refused, taken), {Class: ClassRetry, Delivered: 1, Bad: NoRecord}}, 2, outcomes(ClassRetry, 0, refused, taken, taken)},
		{"refused, then a bad one", []*Error{outcomes(ClassBadRecords, 0, refused, taken), nil, {Class: ClassBadRecords, Bad: 0}}, 3,
			&Error{Class: ClassBadRecords, Outcomes: []Outcome{refused, taken, taken, taken}, Bad: 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := batchOf("a", "b", "c", "d", "e", "f")
			n := 0
			err := b.SendParts(2, 1000, func(part *Batch) *Error {
				if got, want := strings.Join(recordsOf(part), ""), "abcdef"[2*n:2*n+2]; got != want {
					t.Errorf("request %d is %q, want %q", n, got, want)
				}
				n++
				return c.answers[n-1]
			})
			got, _ := err.(*Error)
			if n != c.requests || !reflect.DeepEqual(got, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("%d requests and %s, want %d and %s", n, fmt.Sprintf("%+v", got), c.requests, fmt.Sprintf("%+v", c.want))
			}
		})
	}
}
