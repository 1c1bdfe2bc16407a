package datadog

import (
	"context"
	"net/http"
	"sync"

	"github.com/secretref/secretref/logplugin/router"
)

// Bounds of one request, by Datadog's documentation: 1,000 lines, and 5 MB before compression.
const (
	maxLines = 1000
	maxBytes = 5_000_000
)

// Router sends batches to one intake.
type Router struct {
	link *router.Link[connection]
	idle sync.Pool // of *[]byte
}

var (
	_ router.Router = (*Router)(nil)
	_ router.Noter  = (*Router)(nil)
)

// maxKept bounds the memory of a request that is kept for the next.
const maxKept = 2 << 20

// New returns a router for c. It connects when there is something to send.
func New(c Config) *Router {
	return &Router{
		link: router.NewLink(router.LinkConfig[connection]{
			Op: "read datadog log-opts", Options: c.options, List: options, TLS: tlsNames, Credentials: []string{apiKey},
			Check: func(v *router.Values) { v.CheckHeader(apiKey) }, Read: connectionOf, Client: connection.client,
		}),
		idle: sync.Pool{New: func() any { return new([]byte) }},
	}
}

// Close implements router.Router.
func (r *Router) Close() error {
	r.link.Close()
	return nil
}

// Note implements router.Noter.
func (r *Router) Note() string { return r.link.Note() }

// Send implements router.Router. A batch that is more than Datadog takes at once goes in several requests.
func (r *Router) Send(ctx context.Context, b *router.Batch) error {
	for from := 0; from < b.Len(); {
		to := limit(b, from)
		failed := r.send(ctx, b, from, to)
		if failed != nil {
			failed.Delivered += from
			if failed.Bad != router.NoRecord {
				failed.Bad += from
			}
			return failed
		}
		from = to
	}
	return nil
}

// limit returns the end of the records from from on that may go in one request.
func limit(b *router.Batch, from int) (to int) {
	for to = from + 1; to < b.Len() && to-from < maxLines && b.Ends[to]-b.Start(from) < maxBytes; {
		to++
	}
	return to
}

// send makes one request.
func (r *Router) send(ctx context.Context, b *router.Batch, from, to int) *router.Error {
	u, failed := r.link.Begin(ctx)
	if failed != nil {
		return failed
	}
	op := "send to " + u.Conn.name
	buf, _ := r.idle.Get().(*[]byte)
	defer func() {
		if cap(*buf) <= maxKept {
			r.idle.Put(buf)
		}
	}()
	*buf = append(append((*buf)[:0], '['), b.Body[b.Start(from):b.Ends[to-1]]...)
	(*buf)[len(*buf)-1] = ']' // in place of the last comma
	header := http.Header{"Content-Type": {"application/json"}}
	u.Values.SetHeader(header, "DD-API-KEY", apiKey)
	a, failed := u.Do(ctx, router.Request{Op: op, Method: http.MethodPost, Header: header, Body: *buf})
	if failed != nil {
		return failed
	}
	failed = judge(&a, op, to-from)
	if failed != nil && failed.Class == router.ClassCredentials {
		u.Refused()
	}
	return failed
}

// judge makes an error of the answer to n lines; nil means that Datadog has them all.
func judge(a *router.Answer, op string, n int) *router.Error {
	if a.Status == http.StatusAccepted && !a.HTML {
		return nil
	}
	e := &router.Error{Op: op, Cause: a.Cause(), Bad: router.NoRecord, RetryAfter: a.RetryAfter}
	e.Class, e.Hint = a.Class()
	switch {
	case e.Class == "":
		e.Class, e.Hint = router.ClassConfig, "Datadog answers 202; check that "+site+" or "+intake+" is its intake"
	case e.Class == router.ClassCredentials:
		e.Hint = "a key belongs to one site; check " + site + " too"
	case a.Status == http.StatusBadRequest && !a.HTML:
		e.Class = router.ClassBadRecords
		if n == 1 {
			e.Bad = 0
		}
	}
	return e
}
