package otlp

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/secretref/secretref/logplugin/protobuf"
	"github.com/secretref/secretref/logplugin/router"
)

// Router sends batches to one receiver.
type Router struct {
	*router.Link[connection]

	options router.Options
	bare    atomic.Bool // the receiver answers 200 without a message
	idle    router.Buffers
}

var (
	_ router.Verifier           = (*Router)(nil)
	_ router.CredentialVerifier = (*Router)(nil)
	_ router.Noter              = (*Router)(nil)
)

// newRouter returns a router for o. It connects when there is something to send.
func newRouter(o router.Options) router.Router {
	return &Router{options: o, Link: router.NewLink(router.LinkConfig[connection]{
		Op: op, Options: o, List: options, TLS: tlsNames, Credentials: o.Members(headers),
		Check:  func(v *router.Values) { given.Check(o, v) },
		Read:   func(v *router.Values, c *router.Certificates) connection { return connectionOf(o, v, c) },
		Client: connection.client,
	})}
}

// Note implements router.Noter.
func (r *Router) Note() string {
	var notes []string
	if note := r.Link.Note(); note != "" {
		notes = append(notes, note)
	}
	if r.bare.Load() {
		notes = append(notes, "the receiver answers 200 without OTLP's message, so records that it rejects are not counted")
	}
	return strings.Join(notes, "; ")
}

// Send implements router.Router.
func (r *Router) Send(ctx context.Context, b *router.Batch) error {
	if b.Len() == 0 {
		return nil
	}
	return r.With(ctx, func(u *router.Use[connection]) *router.Error { return r.export(ctx, u, "send to ", b) })
}

// Verify implements router.Verifier. It sends a request without records, which is answered like any other.
func (r *Router) Verify(ctx context.Context) error {
	return r.With(ctx, func(u *router.Use[connection]) *router.Error {
		failed := r.export(ctx, u, "reach ", &router.Batch{})
		if failed != nil && (failed.Class == router.ClassBadRecords || failed.Class == router.ClassTooLarge) {
			failed.Class = router.ClassConfig // nothing was sent
		}
		return failed
	})
}

// VerifyCredentials implements router.CredentialVerifier.
func (r *Router) VerifyCredentials(ctx context.Context) error { return r.Verify(ctx) }

// export makes one request.
func (r *Router) export(ctx context.Context, u *router.Use[connection], doing string, b *router.Batch) *router.Error {
	what := doing + u.Conn.Name
	buf := r.idle.Get()
	defer r.idle.Put(buf)
	*buf = appendRequest((*buf)[:0], b)
	header := http.Header{"Content-Type": {protobufType}}
	given.Set(r.options, header, u.Values)
	a, failed := u.Do(ctx, router.Request{Op: what, Method: http.MethodPost, Header: header, Body: *buf})
	if failed != nil {
		if !failed.IsTLS && failed.Hint == "" {
			failed.Hint = u.Conn.portHint
		}
		return failed
	}
	failed, bare := judge(&a, what, b.Len())
	switch {
	case failed == nil:
		r.bare.Store(bare)
	case failed.Class == router.ClassConfig && failed.Hint == "":
		failed.Hint = u.Conn.portHint
	}
	return failed
}

// scopeField is the scope of our own payload, as a field of ScopeLogs.
var scopeField = func() []byte {
	name := protobuf.AppendString(nil, scopeName, scope)
	return append(protobuf.AppendHead(nil, scopeLogsScope, len(name)), name...)
}()

// appendRequest appends a request with all records of b: a ResourceLogs for each run.
func appendRequest(dst []byte, b *router.Batch) []byte {
	from := 0
	for _, run := range b.Runs {
		e, ok := run.Encoder.(*Encoder)
		if !ok {
			continue // of another router: it cannot be
		}
		records := b.Body[b.Start(from):b.Ends[run.End-1]]
		scopeLen := len(e.scope) + len(records)
		dst = protobuf.AppendHead(dst, requestResourceLogs, len(e.head)+protobuf.FieldLen(logsScopeLogs, scopeLen))
		dst = append(dst, e.head...)
		dst = protobuf.AppendHead(dst, logsScopeLogs, scopeLen)
		dst = append(append(dst, e.scope...), records...)
		from = run.End
	}
	return dst
}
