package loki

import (
	"context"
	"net/http"
	"sync"

	"github.com/klauspost/compress/s2"

	"github.com/secretref/secretref/logplugin/router"
)

// Router sends batches to one Loki.
type Router struct {
	*router.Link[connection]

	idle sync.Pool // of *buffers
}

var (
	_ router.Verifier           = (*Router)(nil)
	_ router.CredentialVerifier = (*Router)(nil)
	_ router.Noter              = (*Router)(nil)
)

// buffers are the memory of one push.
type buffers struct{ push, compressed []byte }

// maxKept bounds the memory of a push that is kept for the next.
const maxKept = 2 << 20

// newRouter returns a router for o. It connects when there is something to send.
func newRouter(o router.Options) router.Router {
	return &Router{
		Link: router.NewLink(router.LinkConfig[connection]{
			Op: op, Options: o, List: options, TLS: tlsNames, Credentials: login.Credentials(),
			Check: login.Check, Read: connectionOf, Client: connection.client,
		}),
		idle: sync.Pool{New: func() any { return &buffers{} }},
	}
}

// Send implements router.Router.
func (r *Router) Send(ctx context.Context, b *router.Batch) error {
	if b.Len() == 0 {
		return nil
	}
	return r.With(ctx, func(u *router.Use[connection]) *router.Error { return r.send(ctx, u, b) })
}

func (r *Router) send(ctx context.Context, u *router.Use[connection], b *router.Batch) *router.Error {
	op := "send to " + u.Conn.Name
	bufs, _ := r.idle.Get().(*buffers)
	defer func() {
		if cap(bufs.push) <= maxKept && cap(bufs.compressed) <= maxKept {
			r.idle.Put(bufs)
		}
	}()
	a, failed := r.push(ctx, u, op, bufs, b)
	if failed != nil {
		return failed
	}
	return judge(&a, op, b.Len())
}

// push makes one request.
func (r *Router) push(ctx context.Context, u *router.Use[connection], op string, bufs *buffers, b *router.Batch) (router.Answer, *router.Error) {
	header := http.Header{}
	login.Set(header, u.Values)
	if u.Conn.tenant != "" {
		header.Set("X-Scope-OrgID", u.Conn.tenant)
	}
	req := router.Request{Op: op, Method: http.MethodPost, Header: header}
	var asJSON bool
	if bufs.push, asJSON = appendPush(bufs.push[:0], b); asJSON {
		header.Set("Content-Type", "application/json")
		req.Body = bufs.push
		return u.Do(ctx, req)
	}
	header.Set("Content-Type", "application/x-protobuf")
	if n := s2.MaxEncodedLen(len(bufs.push)); cap(bufs.compressed) < n {
		bufs.compressed = make([]byte, n)
	}
	req.Body, req.Plain = s2.EncodeSnappy(bufs.compressed[:cap(bufs.compressed)], bufs.push), true // snappy without a header that says so
	return u.Do(ctx, req)
}

// Verify implements router.Verifier. It pushes nothing at all, which Loki refuses only after it has looked at the
// credentials.
func (r *Router) Verify(ctx context.Context) error {
	return r.With(ctx, func(u *router.Use[connection]) *router.Error {
		op := "reach " + u.Conn.Name
		a, failed := r.push(ctx, u, op, &buffers{}, &router.Batch{})
		if failed != nil {
			return failed
		}
		return emptyPush(&a, op)
	})
}

// VerifyCredentials implements router.CredentialVerifier.
func (r *Router) VerifyCredentials(ctx context.Context) error { return r.Verify(ctx) }
