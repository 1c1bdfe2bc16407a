package logdna

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/secretref/secretref/logplugin/router"
)

// What a request may have, by the documentation.
const (
	maxLines = 10_000
	maxBytes = 10_000_000 - 1000 // the rest is for what is around the lines
)

// Router sends batches to Mezmo.
type Router struct {
	*router.Link[router.Receiver]
}

var _ router.Noter = (*Router)(nil)

// newRouter returns a router for o. It connects when there is something to send.
func newRouter(o router.Options) router.Router {
	return &Router{Link: router.NewLink(router.LinkConfig[router.Receiver]{
		Op: op, Options: o, List: options, TLS: tlsNames, Credentials: []string{apiKey},
		Check: func(v *router.Values) { v.CheckHeader(apiKey) }, Read: receiverOf, Client: router.Receiver.Client,
	})}
}

// Send implements router.Router. A large batch goes in several requests, and so does one of containers with several host names or tags.
func (r *Router) Send(ctx context.Context, b *router.Batch) error {
	return r.SendFitting(ctx, b, fit, func(u *router.Use[router.Receiver], part *router.Batch) *router.Error {
		return send(ctx, u, part)
	})
}

func fit(_ *router.Use[router.Receiver], b *router.Batch, from int) int {
	return b.FitAlike(from, maxLines, maxBytes, func(first, next router.Encoder) bool { return queryOf(first) == queryOf(next) })
}

// queryOf returns the query of a request with records of an encoder.
func queryOf(e router.Encoder) query {
	lines, _ := e.(*Encoder)
	return lines.query
}

// send makes one request.
func send(ctx context.Context, u *router.Use[router.Receiver], b *router.Batch) *router.Error {
	doing := "send to " + u.Conn.Name
	header := http.Header{"Content-Type": {"application/json; charset=UTF-8"}}
	u.Values.SetUser(header, apiKey)
	q := queryOf(b.Runs[0].Encoder)
	path := q.before + strconv.FormatInt(time.Now().Unix(), 10) + q.after
	// In place of the last comma there is the end of the array.
	a, failed := u.Do(ctx, router.Request{Op: doing, Method: http.MethodPost, Path: path, Header: header, Before: `{"lines":[`, Body: b.Body[:len(b.Body)-1], After: "]}"})
	if failed != nil {
		return failed
	}
	return judge(&a, doing, b.Len())
}

// judge makes an error of the answer to n records; nil means that the receiver has them all. With a yes comes an object of JSON, or
// nothing at all.
func judge(a *router.Answer, doing string, n int) *router.Error {
	const hint = "Mezmo answers 200 with an object of JSON; check that " + address + " is its ingestion API"
	failed := a.Judge(doing, n, http.StatusOK, hint)
	body := bytes.TrimSpace(a.Body)
	if failed == nil && (a.Cut || len(body) > 0 && !(body[0] == '{' && json.Valid(body))) {
		return &router.Error{Class: router.ClassConfig, Op: doing, Cause: a.Cause() + " with something else than an object of JSON", Hint: hint, Bad: router.NoRecord}
	}
	return failed
}
