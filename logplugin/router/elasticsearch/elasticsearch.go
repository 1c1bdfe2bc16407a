package elasticsearch

import (
	"context"
	"net/http"
	"sync"

	"github.com/secretref/secretref/logplugin/router"
)

// Bounds of one request. Elasticsearch takes 100 MB, small servers of OpenSearch 10 MB.
const (
	maxLines = 1000
	maxBytes = 5_000_000
	// maxAnswer is enough for as many results with the reasons of them all, from a server that does not leave out what is
	// not asked for.
	maxAnswer = 2 << 20
)

// Router sends batches to one server.
type Router struct {
	link    *router.Link[router.Receiver]
	answers sync.Pool // of *answer
}

var (
	_ router.Router             = (*Router)(nil)
	_ router.Verifier           = (*Router)(nil)
	_ router.CredentialVerifier = (*Router)(nil)
	_ router.Noter              = (*Router)(nil)
)

// New returns a router for c. It connects when there is something to send.
func New(c Config) *Router {
	return &Router{
		link: router.NewLink(router.LinkConfig[router.Receiver]{
			Op: op, Options: c.options, List: options, TLS: tlsNames, Credentials: login.Credentials(),
			Check: login.Check, Read: receiverOf, Client: router.Receiver.Client,
		}),
		answers: sync.Pool{New: func() any { return &answer{} }},
	}
}

// Close implements router.Router.
func (r *Router) Close() error {
	r.link.Close()
	return nil
}

// Note implements router.Noter.
func (r *Router) Note() string { return r.link.Note() }

// Send implements router.Router. A batch that is more than a server takes at once goes in several requests.
func (r *Router) Send(ctx context.Context, b *router.Batch) error {
	return b.SendParts(maxLines, maxBytes, func(part *router.Batch) *router.Error { return r.send(ctx, part) })
}

// send makes one request.
func (r *Router) send(ctx context.Context, b *router.Batch) *router.Error {
	u, failed := r.link.Begin(ctx)
	if failed != nil {
		return failed
	}
	doing := "send to " + u.Conn.Name
	a, failed := bulk(ctx, u, doing, b.Body)
	if failed != nil {
		return failed
	}
	parsed, _ := r.answers.Get().(*answer)
	defer r.answers.Put(parsed)
	failed = parsed.judge(&a, doing, b.Len())
	if failed != nil && failed.Class == router.ClassCredentials {
		u.Refused()
	}
	return failed
}

func bulk(ctx context.Context, u *router.Use[router.Receiver], doing string, body []byte) (router.Answer, *router.Error) {
	header := http.Header{"Content-Type": {"application/x-ndjson"}}
	login.Set(header, u.Values)
	return u.Do(ctx, router.Request{Op: doing, Method: http.MethodPost, Header: header, Body: body, Answer: maxAnswer})
}

// Verify implements router.Verifier. It makes a request without actions, which a server refuses only after it has looked at
// the credentials.
func (r *Router) Verify(ctx context.Context) error {
	u, failed := r.link.Begin(ctx)
	if failed != nil {
		return failed
	}
	doing := "reach " + u.Conn.Name
	a, failed := bulk(ctx, u, doing, []byte("\n"))
	if failed == nil {
		failed = empty(&a, doing)
	}
	if failed == nil {
		return nil
	}
	if failed.Class == router.ClassCredentials {
		u.Refused()
	}
	return failed
}

// VerifyCredentials implements router.CredentialVerifier.
func (r *Router) VerifyCredentials(ctx context.Context) error { return r.Verify(ctx) }
