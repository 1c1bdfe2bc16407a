package http

import (
	"context"
	"net/http"

	"github.com/secretref/secretref/logplugin/router"
)

// Bounds of one request, which most receivers take.
const (
	maxLines = 1000
	maxBytes = 1_000_000
)

// Router sends batches to one receiver.
type Router struct {
	config Config
	link   *router.Link[connection]
	idle   router.Buffers
}

var (
	_ router.Router = (*Router)(nil)
	_ router.Noter  = (*Router)(nil)
)

// New returns a router for c. It connects when there is something to send.
func New(c Config) *Router {
	return &Router{config: c, link: router.NewLink(router.LinkConfig[connection]{
		Op: op, Options: c.options, List: options, TLS: tlsNames, Credentials: c.credentials(), Check: c.check, Read: c.connection, Client: func(c connection) router.HTTPConfig { return c.Client() },
	})}
}

// Close implements router.Router.
func (r *Router) Close() error {
	r.link.Close()
	return nil
}

// Note implements router.Noter.
func (r *Router) Note() string { return r.link.Note() }

// Send implements router.Router. A large batch goes in several requests.
func (r *Router) Send(ctx context.Context, b *router.Batch) error {
	return b.SendParts(maxLines, maxBytes, func(part *router.Batch) *router.Error { return r.send(ctx, part) })
}

// types are what the formats are called in a request.
var types = map[string]string{jsonLines: "application/x-ndjson", jsonArray: "application/json", jsonStream: "application/json", raw: "text/plain; charset=utf-8"}

// send makes one request.
func (r *Router) send(ctx context.Context, b *router.Batch) *router.Error {
	u, failed := r.link.Begin(ctx)
	if failed != nil {
		return failed
	}
	e, _ := b.Runs[0].Encoder.(*Encoder) // all have one format
	doing := "send to " + u.Conn.Name
	header := http.Header{"Content-Type": {types[e.format]}}
	login.Set(header, u.Values)
	given.Set(r.config.options, header, u.Values)
	request := router.Request{Op: doing, Method: u.Conn.method, Header: header, Body: b.Body}
	if e.format == jsonArray {
		buf := r.idle.Get()
		defer r.idle.Put(buf)
		*buf = append(append((*buf)[:0], '['), b.Body...)
		(*buf)[len(*buf)-1] = ']' // in place of the last comma
		request.Body = *buf
	}
	a, failed := u.Do(ctx, request)
	if failed != nil {
		return failed
	}
	failed = judge(&a, doing, b.Len())
	if failed != nil && failed.Class == router.ClassCredentials {
		u.Refused()
		u.Invalidate(address, uri) // a token may be in them
	}
	return failed
}

// judge makes an error of the answer to n records; nil means that the receiver has them all.
func judge(a *router.Answer, doing string, n int) *router.Error {
	const html = "check that " + address + " is what takes logs"
	if class, _ := a.Class(); class == "" && !a.HTML {
		return nil
	}
	failed := a.Judge(doing, n, http.StatusOK, html)
	if a.Status == http.StatusUnprocessableEntity && !a.HTML {
		failed.Class, failed.Hint = router.ClassBadRecords, ""
		if n == 1 {
			failed.Bad = 0
		}
	}
	return failed
}
