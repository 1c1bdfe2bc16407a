package router

import (
	"context"
	"errors"
	"time"

	"github.com/secretref/secretref/shared/fault"
)

// Class says what may help after a failure. It is the label of the metric, too.
type Class string

// The closed set of classes.
const (
	ClassRetry       Class = "retry"       // the same batch again, after a pause
	ClassCredentials Class = "credentials" // refused; the source was invalidated: the same batch again with what it then gives
	ClassConfig      Class = "config"      // a person must change an option, here or at the receiver; keep the records, try rarely
	ClassBadRecords  Class = "bad_records" // the receiver will never take some record of the batch
	ClassTooLarge    Class = "too_large"   // fewer records at once; a batch of one will never be taken
)

// Classes lists the closed set.
func Classes() []Class {
	return []Class{ClassRetry, ClassCredentials, ClassConfig, ClassBadRecords, ClassTooLarge}
}

// Outcome is what became of one record.
type Outcome uint8

// The outcomes.
const (
	Again     Outcome = iota // it was not taken, and is to be sent again
	Taken                    // the receiver has it
	Refused                  // the receiver will never take it
	Discarded                // the receiver has accepted the request with it, and says that it has not stored it
)

// MaxRetryAfter is the longest pause that a receiver may ask for: it may be wrong, and lines wait.
const MaxRetryAfter = 5 * time.Minute

// NoRecord is Error.Bad when no single record is known to be at fault.
const NoRecord = -1

// Error is a batch that was not delivered, or not all of it. Its text holds no credential, no URL user info, no line and
// nothing of what a receiver has answered but a short reason.
type Error struct {
	Class Class
	Op    string // what was being done, where: "send to https://hec.example.com:8088"
	Cause string // what happened
	Hint  string // what to do about it; may be empty
	// Delivered is how many records at the start of the batch have certainly been taken: they need not be sent again.
	Delivered int
	// Refused is how many of the delivered records the receiver has refused for good, where it says how many and not which.
	Refused int
	// Outcomes, of a receiver that answers record by record, are those of the records from Delivered on, as far as they were
	// sent. The class is that of the records whose outcome is Again, or ClassBadRecords if there are none. nil means that
	// the error is about all records from Delivered on.
	Outcomes []Outcome
	// Bad is the index of the record that the receiver complains of, or NoRecord. Receivers count in different ways:
	// send it alone before giving it up.
	Bad int
	// RetryAfter is the pause that the receiver asks for, at most MaxRetryAfter; 0 = it did not ask.
	RetryAfter time.Duration
	// TimedOut says that the request was made and had no answer in the time that it had. The same bytes may take as long
	// again: the delivery sends fewer of them at once. It never gives a record up for it.
	TimedOut bool
	// IsTLS says that the TLS handshake has failed: a certificate or a key that came by reference may have been rotated.
	IsTLS bool
	Err   error // the underlying error, for errors.Is; its text is not printed
}

// Error returns one line: what was done, what happened; what to do.
func (e *Error) Error() string {
	s := e.Op + ": " + e.Cause
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return fault.OneLine(s)
}

// Unwrap returns the underlying error.
func (e *Error) Unwrap() error { return e.Err }

// ClassOf returns the class of the first *Error in err's chain; Retry for any other error, "" for nil.
func ClassOf(err error) Class {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return ClassRetry
}

// FromSource makes an *Error of a secret that could not be had. A permanent reason waits for a person or a rotation, a
// transient one for AWS. A context that has ended has a text of its own.
func FromSource(op string, err error) *Error {
	e := &Error{Class: ClassRetry, Op: op, Cause: err.Error(), Bad: NoRecord, Err: err}
	switch k := fault.KindOf(err); {
	case k == "" && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)):
		e.Cause = "stopped while waiting for a secret"
	case k == "":
		e.Cause, e.Err = "a secret could not be read", nil // the text of an unknown error is not ours to show
	case !k.Transient():
		e.Class = ClassCredentials
	}
	return e
}
