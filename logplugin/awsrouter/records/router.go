package records

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/secretref/secretref/logplugin/awsrouter"
	"github.com/secretref/secretref/logplugin/jsontext"
	"github.com/secretref/secretref/logplugin/router"
)

// Router sends batches to one stream.
type Router struct {
	stream Stream
	client *awsrouter.Client

	idle, answers router.Buffers
}

// Note implements router.Noter.
func (r *Router) Note() string { return r.client.Note() }

// Close implements router.Router.
func (r *Router) Close() error {
	r.client.Close()
	return nil
}

// Send implements router.Router.
func (r *Router) Send(ctx context.Context, b *router.Batch) error {
	return b.SendParts(maxRecords, r.stream.MaxBytes, func(part *router.Batch) *router.Error { return r.send(ctx, part) })
}

// send makes one request.
func (r *Router) send(ctx context.Context, b *router.Batch) *router.Error {
	u, failed := r.client.Begin(ctx)
	if failed != nil {
		return failed
	}
	buf, answer := r.idle.Get(), r.answers.Get()
	defer r.idle.Put(buf)
	defer r.answers.Put(answer)
	name := r.stream.read(u.Values)
	*buf = jsontext.AppendString(append((*buf)[:0], '{'), []byte(r.stream.Member))
	*buf = jsontext.AppendString(append(*buf, ':'), []byte(name))
	*buf = append(append(*buf, `,"Records":[`...), b.Body[:max(len(b.Body)-1, 0)]...)
	*buf = append(*buf, "]}"...)
	doing := "send to stream " + name + " (" + u.Shown() + ")"
	u.Into = *answer
	a, no := u.Call(ctx, doing, r.stream.Operation, *buf, http.Header{})
	if no != nil {
		return no.Error
	}
	*answer = a.Body
	return r.outcomes(doing, &a, b.Len())
}

// outcomes reads what became of each of n records.
func (r *Router) outcomes(doing string, a *router.Answer, n int) *router.Error {
	if r.allTaken(a.Body, n) {
		return nil
	}
	type each struct{ ErrorCode string }
	var answer struct {
		RequestResponses []each // of Firehose
		Records          []each // of Kinesis
	}
	err := json.Unmarshal(a.Body, &answer)
	all := slices.Concat(answer.RequestResponses, answer.Records)
	if err != nil || len(all) != n {
		return &router.Error{Class: router.ClassConfig, Op: doing, Cause: "the answer does not say what became of each record", Bad: router.NoRecord,
			Hint: awsrouter.NotAWS}
	}
	e := &router.Error{Class: router.ClassRetry, Op: doing, Bad: router.NoRecord, Outcomes: make([]router.Outcome, n)}
	waits := 0
	for i, x := range all {
		if x.ErrorCode == "" {
			e.Outcomes[i] = router.Taken
			continue
		}
		waits++
		e.Cause = r.stream.Title + " answers " + a.Text(x.ErrorCode)
		if c := awsrouter.ClassOf(x.ErrorCode); c != "" {
			e.Class = c
		}
	}
	if waits == 0 {
		return nil
	}
	e.Cause = fmt.Sprintf("%d of %d records were not taken: %s", waits, n, e.Cause)
	return e
}

// allTaken reports whether an answer says of n records that each was taken. Otherwise the answer is read in full, which costs more than
// all else that is done for a record. A quote inside of a text is escaped, so that the names of members are found nowhere else.
func (r *Router) allTaken(body []byte, n int) bool {
	return n > 0 && !bytes.Contains(body, []byte(`"ErrorCode"`)) && bytes.Count(body, []byte(`"`+r.stream.Taken+`":`)) == n
}

// Verify implements router.Verifier. It puts no record at all, which the service refuses only after it has looked at the signature.
func (r *Router) Verify(ctx context.Context) error {
	failed := r.send(ctx, &router.Batch{})
	if failed == nil || failed.Class == router.ClassBadRecords {
		return nil
	}
	return failed
}

// VerifyCredentials implements router.CredentialVerifier.
func (r *Router) VerifyCredentials(ctx context.Context) error { return r.Verify(ctx) }
