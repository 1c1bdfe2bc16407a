package http

import (
	"context"
	"net/http"

	"github.com/secretref/secretref/logplugin/router"
)

// Bounds of one request, which most receivers take.
const (
	maxLines = 5000
	maxBytes = 1_000_000
)

// Router sends batches to one receiver.
type Router struct {
	*router.Link[connection]

	options router.Options
}

var _ router.Noter = (*Router)(nil)

// newRouter returns a router for o. It connects when there is something to send.
func newRouter(o router.Options, sign router.Signing) router.Router {
	return &Router{options: o, Link: router.NewLink(router.LinkConfig[connection]{
		Op: op, Options: o, List: options, TLS: tlsNames, Credentials: credentialsOf(o),
		Check:  func(v *router.Values) { check(o, v) },
		Read:   func(v *router.Values, c *router.Certificates) connection { return connectionOf(o, v, c, sign) },
		Client: func(c connection) router.HTTPConfig { return c.Client() },
	})}
}

// Send implements router.Router. A large batch goes in several requests.
func (r *Router) Send(ctx context.Context, b *router.Batch) error {
	return r.SendFitting(ctx, b, r.fit, func(u *router.Use[connection], part *router.Batch) *router.Error {
		return r.send(ctx, u, part)
	})
}

// fit returns the end of the records from from on that fit into one request. When a header has the tag, all must have the same.
func (r *Router) fit(u *router.Use[connection], b *router.Batch, from int) int {
	if u.Conn.tag == "" {
		return b.Fit(from, maxLines, maxBytes)
	}
	return b.FitAlike(from, maxLines, maxBytes, func(first, next router.Encoder) bool {
		a, _ := first.(*Encoder)
		e, _ := next.(*Encoder)
		return a.tag == e.tag
	})
}

// types are what the formats are called in a request.
var types = map[string]string{jsonLines: "application/x-ndjson", jsonArray: "application/json", jsonStream: "application/json", raw: "text/plain; charset=utf-8",
	msgPack: "application/msgpack", gelf: "application/json"}

// send makes one request.
func (r *Router) send(ctx context.Context, u *router.Use[connection], b *router.Batch) *router.Error {
	e, _ := b.Runs[0].Encoder.(*Encoder) // all have one format
	doing := "send to " + u.Conn.Name
	header := http.Header{"Content-Type": {types[e.format]}}
	login.Set(header, u.Values)
	given.Set(r.options, header, u.Values)
	request := router.Request{Op: doing, Method: u.Conn.method, Header: header, Body: b.Body}
	if u.Conn.tag != "" && e.tag != "" {
		header.Set(u.Conn.tag, e.tag)
	}
	switch e.format {
	case jsonArray:
		request.Before, request.Body, request.After = "[", b.Body[:len(b.Body)-1], "]" // in place of the last comma
	case msgPack:
		if e.isOurs() {
			request.Before = arrayHead(b.Len())
		}
	}
	a, failed := u.Do(ctx, request)
	if failed != nil {
		return failed
	}
	failed = judge(&a, doing, b.Len())
	if failed != nil && failed.Class == router.ClassCredentials {
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
