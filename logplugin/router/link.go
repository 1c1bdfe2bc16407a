package router

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"strings"
	"sync"
	"time"
)

// resolveTimeout is for asking for the secrets among the options.
const resolveTimeout = 30 * time.Second

// LinkConfig says what a Link makes its client of. C is what the router reads of its connection options.
type LinkConfig[C any] struct {
	Op      string // for errors: "read loki log-opts"
	Options Options
	List    []Option
	TLS     TLSNames
	// Credentials are the options that go into each request: a change of them alone makes no new client.
	Credentials []string
	// Check looks at the credentials, whenever they may have changed. nil means that there is nothing to check.
	Check func(*Values)
	// Read reads all other options; faults are in the values.
	Read func(*Values, *Certificates) C
	// Client says how a client is made of what was read.
	Client func(C) HTTPConfig
}

// Link keeps the client of a router over HTTP, which embeds it. It asks for the secrets at each use, and makes a new client only when
// one of them or a file of certificates has changed. It is safe for concurrent use.
type Link[C any] struct {
	config       LinkConfig[C]
	certificates Certificates

	mu          sync.Mutex
	fingerprint [sha256.Size]byte // of the secrets that conn was made from
	tls         *tls.Config
	conn        C
	http        *HTTP // nil before the first use
}

// NewLink returns a Link that connects when there is something to send.
func NewLink[C any](c LinkConfig[C]) *Link[C] { return &Link[C]{config: c} }

// Use is the values and the client of one moment.
type Use[C any] struct {
	Conn   C
	Values *Values
	link   *Link[C]
	http   *HTTP
}

// Begin asks for the secrets, and makes a new client if something but the credentials has changed.
func (l *Link[C]) Begin(ctx context.Context) (*Use[C], *Error) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	v, err := l.config.Options.Connection(ctx, l.config.List)
	if err != nil {
		return nil, FromSource(l.config.Op, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.config.Check != nil {
		l.config.Check(v)
	}
	made := v.Fingerprint(l.config.Credentials...)
	if certificates := l.certificates.Config(v, l.config.TLS); l.http == nil || made != l.fingerprint || certificates != l.tls {
		if conn := l.config.Read(v, &l.certificates); v.Err() == nil {
			l.replace(conn, made, certificates)
		}
	}
	if err := v.Err(); err != nil {
		l.config.Options.Invalidate(v, l.config.Credentials...) // they may be right by now
		return nil, &Error{Class: ClassConfig, Op: l.config.Op, Cause: err.Error(), Bad: NoRecord}
	}
	return &Use[C]{l.conn, v, l, l.http}, nil
}

func (l *Link[C]) replace(conn C, made [sha256.Size]byte, certificates *tls.Config) {
	if l.http != nil {
		l.http.Close()
	}
	l.conn, l.fingerprint, l.tls = conn, made, certificates
	c := l.config.Client(conn)
	c.TLSName = l.config.TLS
	l.http = NewHTTP(c)
}

// Do makes one request with the values of the moment. Nothing of its body is read after it has returned.
func (u *Use[C]) Do(ctx context.Context, r Request) (Answer, *Error) {
	r.Values = u.Values
	a, failed := u.http.Do(ctx, r)
	if failed != nil && failed.IsTLS {
		u.link.config.Options.Invalidate(u.Values, u.link.config.TLS.Credentials()...) // it may have been rotated
	}
	return a, failed
}

// Invalidate tells the sources of other options, if they are secrets, that what they gave was refused.
func (u *Use[C]) Invalidate(names ...string) { u.link.config.Options.Invalidate(u.Values, names...) }

// Refused tells the sources of the credentials that the receiver has refused them.
func (u *Use[C]) Refused() {
	u.link.config.Options.Invalidate(u.Values, u.link.config.Credentials...)
	if s := u.http.config.Signer; s != nil {
		s.Refused()
	}
}

// Note implements Noter. It says what is wrong with files of certificates that were renewed, and with the clock; "" means nothing.
func (l *Link[C]) Note() string {
	l.mu.Lock()
	h := l.http
	l.mu.Unlock()
	note := l.certificates.Note()
	if h == nil || h.Note() == "" {
		return note
	}
	return strings.TrimPrefix(note+"; "+h.Note(), "; ")
}

// Close implements Router. It frees the connections that are not in use.
func (l *Link[C]) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.http != nil {
		l.http.Close()
	}
	return nil
}

// With calls do with the values and the client of the moment. It tells the sources of the credentials when do says that they were
// refused.
func (l *Link[C]) With(ctx context.Context, do func(*Use[C]) *Error) error {
	u, failed := l.Begin(ctx)
	if failed == nil {
		failed = do(u)
	}
	if failed == nil {
		return nil
	}
	if u != nil && failed.Class == ClassCredentials {
		u.Refused()
	}
	return failed
}

// SendParts is With for a batch of which a request has at most so many records and bytes: do is called for each part of it, as
// by Batch.SendParts.
func (l *Link[C]) SendParts(ctx context.Context, b *Batch, records, bytes int, do func(u *Use[C], part *Batch) *Error) error {
	return l.SendFitting(ctx, b, func(_ *Use[C], b *Batch, from int) int { return b.Fit(from, records, bytes) }, do)
}

// SendFitting is SendParts where fit returns the end of the records from from on that fit into one request, one record at least.
func (l *Link[C]) SendFitting(ctx context.Context, b *Batch, fit func(u *Use[C], b *Batch, from int) int, do func(u *Use[C], part *Batch) *Error) error {
	if b.Len() == 0 {
		return nil
	}
	return l.With(ctx, func(u *Use[C]) *Error {
		return b.sendParts(func(from int) int { return fit(u, b, from) }, func(part *Batch) *Error { return do(u, part) })
	})
}
