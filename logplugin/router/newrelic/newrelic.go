package newrelic

import (
	"context"
	"net/http"

	"github.com/secretref/secretref/logplugin/router"
)

// Bounds of one request. New Relic takes 1 MB as it is sent, compressed or not: this is before compression, with room for the
// attributes of each container.
const (
	maxLines = 5000
	maxBytes = 900_000
)

// Router sends batches to one Log API.
type Router struct {
	*router.Link[router.Receiver]

	idle router.Buffers
}

var _ router.Noter = (*Router)(nil)

// newRouter returns a router for o. It connects when there is something to send.
func newRouter(o router.Options) router.Router {
	return &Router{Link: router.NewLink(router.LinkConfig[router.Receiver]{
		Op: op, Options: o, List: options, TLS: tlsNames, Credentials: []string{licenseKey, apiKey},
		Check: checkKey, Read: receiverOf, Client: router.Receiver.Client,
	})}
}

// Send implements router.Router. A batch that is more than New Relic takes at once goes in several requests.
func (r *Router) Send(ctx context.Context, b *router.Batch) error {
	return r.SendParts(ctx, b, maxLines, maxBytes, func(u *router.Use[router.Receiver], part *router.Batch) *router.Error {
		return r.send(ctx, u, part)
	})
}

// send makes one request.
func (r *Router) send(ctx context.Context, u *router.Use[router.Receiver], b *router.Batch) *router.Error {
	doing := "send to " + u.Conn.Name
	buf := r.idle.Get()
	defer r.idle.Put(buf)
	*buf = appendRequest((*buf)[:0], b)
	header := http.Header{"Content-Type": {"application/json"}}
	if u.Values.Has(licenseKey) {
		u.Values.SetHeader(header, "X-License-Key", licenseKey)
	} else {
		u.Values.SetHeader(header, "X-Insert-Key", apiKey)
	}
	a, failed := u.Do(ctx, router.Request{Op: doing, Method: http.MethodPost, Header: header, Body: *buf})
	if failed != nil {
		return failed
	}
	failed = a.Judge(doing, b.Len(), http.StatusAccepted, "New Relic answers 202; check that "+region+" or "+endpoint+" is its Log API")
	if failed != nil && failed.Class == router.ClassCredentials {
		failed.Hint = "a key belongs to one region; check " + region + " too"
	}
	return failed
}

// appendRequest appends a request with all records of b: an element for each run, because its attributes are common to them.
func appendRequest(dst []byte, b *router.Batch) []byte {
	dst = append(dst, '[')
	from := 0
	for _, run := range b.Runs {
		e, ok := run.Encoder.(*Encoder)
		if !ok {
			continue // of another router: it cannot be
		}
		dst = append(append(dst, e.common...), b.Body[b.Start(from):b.Ends[run.End-1]]...)
		if !e.flat {
			dst = append(dst[:len(dst)-1], `]},`...) // in place of the last comma
		}
		from = run.End
	}
	dst[len(dst)-1] = ']'
	return dst
}
