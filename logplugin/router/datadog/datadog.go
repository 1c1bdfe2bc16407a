package datadog

import (
	"context"
	"net/http"

	"github.com/secretref/secretref/logplugin/router"
)

// Bounds of one request, by Datadog's documentation: 1,000 lines, and 5 MB before compression.
const (
	maxLines = 1000
	maxBytes = 5_000_000
)

// Router sends batches to one intake.
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

// Send implements router.Router. A batch that is more than Datadog takes at once goes in several requests.
func (r *Router) Send(ctx context.Context, b *router.Batch) error {
	return r.SendParts(ctx, b, maxLines, maxBytes, func(u *router.Use[router.Receiver], part *router.Batch) *router.Error {
		return send(ctx, u, part)
	})
}

// send makes one request.
func send(ctx context.Context, u *router.Use[router.Receiver], b *router.Batch) *router.Error {
	doing := "send to " + u.Conn.Name
	header := http.Header{"Content-Type": {"application/json"}}
	u.Values.SetHeader(header, "DD-API-KEY", apiKey)
	// In place of the last comma there is the end of the array.
	a, failed := u.Do(ctx, router.Request{Op: doing, Method: http.MethodPost, Header: header, Before: "[", Body: b.Body[:len(b.Body)-1], After: "]"})
	if failed != nil {
		return failed
	}
	failed = a.Judge(doing, b.Len(), http.StatusAccepted, "Datadog answers 202; check that "+site+" or "+intake+" is its intake")
	if failed != nil && failed.Class == router.ClassCredentials {
		failed.Hint = "a key belongs to one site; check " + site + " too"
	}
	return failed
}
