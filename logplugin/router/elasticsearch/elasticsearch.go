package elasticsearch

import (
	"context"
	"net/http"
	"sync"

	"github.com/secretref/secretref/logplugin/router"
)

// Bounds of one request. Elasticsearch takes 100 MB, small servers of OpenSearch 10 MB.
const (
	maxLines = 3000
	maxBytes = 5_000_000
	// maxAnswer is enough for as many results with the reasons of them all, from a server that does not leave out what is
	// not asked for.
	maxAnswer = 2 << 20
)

// Router sends batches to one server.
type Router struct {
	*router.Link[router.Receiver]

	answers sync.Pool // of *answer
}

var (
	_ router.Verifier           = (*Router)(nil)
	_ router.CredentialVerifier = (*Router)(nil)
	_ router.Noter              = (*Router)(nil)
)

// newRouter returns a router for o. It connects when there is something to send.
func newRouter(o router.Options, read func(*router.Values, *router.Certificates) router.Receiver) router.Router {
	return &Router{
		Link: router.NewLink(router.LinkConfig[router.Receiver]{
			Op: op, Options: o, List: options, TLS: tlsNames, Credentials: login.Credentials(),
			Check: login.Check, Read: read, Client: router.Receiver.Client,
		}),
		answers: sync.Pool{New: func() any { return &answer{} }},
	}
}

// Send implements router.Router. A batch that is more than a server takes at once goes in several requests.
func (r *Router) Send(ctx context.Context, b *router.Batch) error {
	return r.SendParts(ctx, b, maxLines, maxBytes, func(u *router.Use[router.Receiver], part *router.Batch) *router.Error {
		return r.send(ctx, u, part)
	})
}

// send makes one request.
func (r *Router) send(ctx context.Context, u *router.Use[router.Receiver], b *router.Batch) *router.Error {
	doing := "send to " + u.Conn.Name
	parsed, _ := r.answers.Get().(*answer)
	defer r.answers.Put(parsed)
	a, failed := bulk(ctx, u, doing, b.Body, parsed.body)
	if failed != nil {
		return failed
	}
	parsed.body = a.Body
	return parsed.judge(&a, doing, b.Len())
}

// bulk makes a request, whose answer is read into the memory of into.
func bulk(ctx context.Context, u *router.Use[router.Receiver], doing string, body, into []byte) (router.Answer, *router.Error) {
	header := http.Header{"Content-Type": {"application/x-ndjson"}}
	login.Set(header, u.Values)
	return u.Do(ctx, router.Request{Op: doing, Method: http.MethodPost, Header: header, Body: body, Answer: maxAnswer, Into: into})
}

// Verify implements router.Verifier. It makes a request without actions, which a server refuses only after it has looked at
// the credentials.
func (r *Router) Verify(ctx context.Context) error {
	return r.With(ctx, func(u *router.Use[router.Receiver]) *router.Error {
		doing := "reach " + u.Conn.Name
		a, failed := bulk(ctx, u, doing, []byte("\n"), nil)
		if failed != nil {
			return failed
		}
		return empty(&a, doing)
	})
}

// VerifyCredentials implements router.CredentialVerifier.
func (r *Router) VerifyCredentials(ctx context.Context) error { return r.Verify(ctx) }
