package fluentd

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/secretref/secretref/logplugin/msgpack"
	"github.com/secretref/secretref/logplugin/router"
)

// maxMessage bounds the entries of one message, uncompressed: Fluent Bit closes the connection past 6 MB, and Fluentd
// never acknowledges what is larger than its chunks.
const maxMessage = 4_000_000

const (
	directWrite = 64 << 10 // entries longer than this are written as they are, without a copy
	minGzip     = 256      // shorter entries are not worth it
	gzipLevel   = 2        // half the time of zlib's 6, for 3 % more bytes of web server logs
)

// timing is a field so that tests need not wait.
type timing struct {
	dial  time.Duration // TCP's part of connecting
	hello time.Duration // each step of the handshakes: TLS, HELO, PONG; all together may take twice as long
	grace time.Duration // how long to wait for a HELO that says that a shared key is missing
}

// Router sends batches over one connection, which it opens when there is something to send and again when the receiver
// has closed it or a secret has changed.
type Router struct {
	options  router.Options
	hostname string
	timing   timing
	turn     chan struct{} // holds one; who has put it there uses the rest

	certificates router.Certificates
	failover     router.Failover

	conn  *conn
	print [sha256.Size]byte // of the secrets that conn was made with
	tls   *tls.Config       // that conn was made with
	out   []byte            // head of a message, or several short ones
	zip   *gzip.Writer
	zout  bytes.Buffer
}

var (
	_ router.Router   = (*Router)(nil)
	_ router.Verifier = (*Router)(nil)
	_ router.Noter    = (*Router)(nil)
)

// New returns a router for c.
func New(c Config) *Router {
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "localhost"
	}
	return &Router{options: c.options, hostname: hostname, turn: make(chan struct{}, 1),
		timing: timing{dial: 10 * time.Second, hello: 10 * time.Second, grace: 100 * time.Millisecond}}
}

// Note implements router.Noter.
func (r *Router) Note() string { return r.certificates.Note() }

// Close implements router.Router.
func (r *Router) Close() error {
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	r.drop()
	return nil
}

func (r *Router) drop() {
	if r.conn != nil {
		r.conn.shut()
		r.conn = nil
	}
	r.out = r.out[:0]
}

// sending is one call of Send or Verify.
type sending struct {
	r      *Router
	ctx    context.Context // of the call, which this does not outlive
	target target
	values *router.Values
	index  int // of the address
	op     string

	conn  *conn
	acked []bool // by message
	ends  []int  // index after the last record, by message
}

// Send implements router.Router. With fluentd-request-ack it returns when the receiver has acknowledged all messages.
func (r *Router) Send(ctx context.Context, b *router.Batch) error {
	if b.Len() == 0 {
		return nil
	}
	return r.use(ctx, "send to", func(s *sending) *router.Error { return s.send(b) })
}

// Verify implements router.Verifier: it connects and does the handshakes, and sends nothing. A receiver without a shared
// key answers nothing, so all that is known of it then is that it listens. The connection is kept for Send.
func (r *Router) Verify(ctx context.Context) error {
	return r.use(ctx, "reach", (*sending).verify)
}

// use calls f for one address when it is this call's turn, and gives up the connection when f has failed. After a probe it goes on
// with another address.
func (r *Router) use(ctx context.Context, op string, f func(*sending) *router.Error) error {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return &router.Error{Class: router.ClassRetry, Op: op + " the fluentd receiver", Cause: "stopped", Bad: router.NoRecord, Err: ctx.Err()}
	}
	v, t, failed := r.begin(ctx)
	if failed != nil {
		r.drop()
		return failed
	}
	for {
		i, probe := r.failover.Choose(len(t.addresses))
		if r.conn != nil && r.conn.address != t.addresses[i] {
			r.drop()
		}
		failed := f(&sending{r: r, ctx: ctx, target: t, values: v, index: i, op: op + " " + t.name(i)})
		if failed == nil {
			r.failover.Report(i, len(t.addresses), true)
			return nil
		}
		r.drop()
		if ctx.Err() == nil {
			r.failover.Report(i, len(t.addresses), false)
		}
		if !probe || ctx.Err() != nil || failed.Delivered > 0 {
			return failed
		}
	}
}

// begin asks for the secrets, and gives up a connection that was made with others.
func (r *Router) begin(ctx context.Context) (*router.Values, target, *router.Error) {
	const op = "read fluentd log-opts"
	resolve, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	values, err := r.options.Connection(resolve, options)
	if err != nil {
		return nil, target{}, router.FromSource(op, err)
	}
	t := targetOf(values, &r.certificates)
	if err := values.Err(); err != nil {
		return nil, target{}, &router.Error{Class: router.ClassConfig, Op: op, Cause: err.Error(), Bad: router.NoRecord}
	}
	if r.conn != nil && (values.Fingerprint() != r.print || r.tls != t.tls || r.conn.isGone()) {
		r.drop()
	}
	return values, t, nil
}

// connect makes sure that there is a connection.
func (s *sending) connect() *router.Error {
	r := s.r
	if r.conn == nil {
		c, err := s.dial()
		if err != nil {
			return s.failed(err)
		}
		r.conn, r.print, r.tls = c, s.values.Fingerprint(), s.target.tls
	}
	s.conn = r.conn
	if s.conn.isGone() {
		return s.failed(s.conn.err)
	}
	return nil
}

// dial connects. A receiver on this host may have the same host name: with another one the client sees whether it
// knows the shared key.
func (s *sending) dial() (*conn, error) {
	id := identity{
		hostname: s.target.selfHostname, redact: s.redact,
		key: s.values.Secret("fluentd-shared-key"), username: s.values.Secret("fluentd-username"), password: s.values.Secret("fluentd-password"),
	}
	own := id.hostname == ""
	if own {
		id.hostname = s.r.hostname
	}
	address := s.target.addresses[s.index]
	c, err := dial(s.ctx, s.target, address, id, s.r.timing)
	var no *refusal
	if own && errors.As(err, &no) && no.sameName {
		s.r.hostname += "-log-driver"
		id.hostname = s.r.hostname
		c, err = dial(s.ctx, s.target, address, id, s.r.timing)
	}
	return c, err
}

// verify makes sure of a connection whose receiver has had the time to ask for a shared key that is not there.
func (s *sending) verify() *router.Error {
	fresh := s.r.conn == nil
	if failed := s.connect(); failed != nil {
		return failed
	}
	if fresh && s.target.ack && !s.target.handshake { // in the other cases it was waited for already
		s.conn.awaitHello(s.ctx, s.r.timing.grace)
	}
	switch {
	case s.ctx.Err() != nil:
		return s.failed(s.ctx.Err())
	case s.conn.isGone():
		return s.failed(s.conn.err)
	}
	return nil
}

func (s *sending) send(b *router.Batch) *router.Error {
	for i := range b.Len() {
		if b.Ends[i]-b.Start(i) > maxMessage {
			return &router.Error{Class: router.ClassTooLarge, Op: s.op, Bad: i, Cause: fmt.Sprintf("a record of %d bytes, and receivers take %d", b.Ends[i]-b.Start(i), maxMessage)}
		}
	}
	for from, run := 0, 0; from < b.Len(); {
		if from == b.Runs[run].End {
			run++
			continue
		}
		to := lastFit(b, from, b.Runs[run].End)
		e, ok := b.Runs[run].Encoder.(*Encoder)
		if !ok {
			return &router.Error{Class: router.ClassConfig, Op: s.op, Cause: "a batch of another router", Bad: router.NoRecord}
		}
		if failed := s.message(e.tag, b.Body[b.Start(from):b.Ends[to-1]], to-from, to); failed != nil {
			return failed
		}
		from = to
	}
	return s.finish()
}

// lastFit returns the end of the longest row of records that fits into a message.
func lastFit(b *router.Batch, from, end int) int {
	to := from + 1
	for to < end && b.Ends[to]-b.Start(from) <= maxMessage {
		to++
	}
	return to
}

// message writes [tag, entries, options]. end is the index after its last record.
func (s *sending) message(tag string, entries []byte, records, end int) *router.Error {
	if failed := s.connect(); failed != nil {
		return failed
	}
	r := s.r
	gzipped := s.target.gzip && len(entries) >= minGzip
	if gzipped {
		var err error
		if entries, err = r.compress(entries); err != nil {
			return s.failed(err)
		}
	}
	r.out = msgpack.AppendBinHead(msgpack.AppendStr(msgpack.AppendArray(r.out, 3), tag), len(entries))
	if len(entries) > directWrite {
		if failed := s.flush(); failed != nil {
			return failed
		}
		if failed := s.write(entries); failed != nil {
			return failed
		}
	} else {
		r.out = append(r.out, entries...)
	}
	r.out = s.appendOptions(r.out, records, gzipped)
	s.acked, s.ends = append(s.acked, false), append(s.ends, end)
	if !s.conn.keepalive { // the receiver closes after one message
		failed := s.finish()
		if failed == nil && !s.target.ack {
			failed = s.awaitEnd()
		}
		r.drop()
		return failed
	}
	if len(r.out) > directWrite {
		return s.flush()
	}
	return nil
}

func (s *sending) appendOptions(dst []byte, records int, gzipped bool) []byte {
	n := 1
	if s.target.ack {
		n++
	}
	if gzipped {
		n++
	}
	dst = msgpack.AppendUint(msgpack.AppendStr(msgpack.AppendMap(dst, n), "size"), records)
	if s.target.ack {
		var random [16]byte
		_, _ = rand.Read(random[:]) // never fails
		chunk := base64.StdEncoding.EncodeToString(random[:])
		s.conn.expect(chunk, len(s.acked))
		dst = msgpack.AppendStr(msgpack.AppendStr(dst, "chunk"), chunk)
	}
	if gzipped {
		dst = msgpack.AppendStr(msgpack.AppendStr(dst, "compressed"), "gzip")
	}
	return dst
}

func (s *sending) flush() *router.Error {
	out := s.r.out
	s.r.out = out[:0]
	if cap(out) > 4*directWrite {
		s.r.out = nil
	}
	return s.write(out)
}

func (s *sending) write(p []byte) *router.Error {
	stop := router.EndWith(s.ctx, s.conn)
	defer stop()
	_ = s.conn.SetWriteDeadline(time.Now().Add(s.target.write))
	if s.ctx.Err() != nil { // it may have ended before the deadline was set
		return s.failed(s.ctx.Err())
	}
	if _, err := s.conn.Write(p); err != nil {
		return s.failed(err)
	}
	return nil
}

// finish writes what is left and awaits the acknowledgements.
func (s *sending) finish() *router.Error {
	if s.conn == nil {
		return nil
	}
	if len(s.r.out) > 0 {
		if failed := s.flush(); failed != nil {
			return failed
		}
	}
	if !s.target.ack {
		if s.conn.isGone() && s.conn.keepalive {
			return s.failed(s.conn.err)
		}
		return nil
	}
	timer := time.NewTimer(s.target.read)
	defer timer.Stop()
	for s.takeAcks() > 0 {
		select {
		case <-s.conn.some:
		case <-timer.C:
			return s.failed(fmt.Errorf("no acknowledgement: %w", os.ErrDeadlineExceeded))
		case <-s.ctx.Done():
			return s.failed(s.ctx.Err())
		case <-s.conn.gone:
			if s.takeAcks() > 0 { // what came before the end counts
				return s.failed(s.conn.err)
			}
		}
	}
	return nil
}

// awaitEnd waits until the receiver has read a message without an acknowledgement, and has closed: the next one, on another
// connection, would otherwise overtake it.
func (s *sending) awaitEnd() *router.Error {
	if c, ok := s.conn.Conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite() // its error shows below
	}
	timer := time.NewTimer(s.r.timing.hello)
	defer timer.Stop()
	select {
	case <-s.conn.gone:
		if !errors.Is(s.conn.err, io.EOF) {
			return s.failed(s.conn.err)
		}
	case <-timer.C: // it does not close; that is not a sign that it has not read
	case <-s.ctx.Done():
		return s.failed(s.ctx.Err())
	}
	return nil
}

// takeAcks returns how many messages are not acknowledged yet.
func (s *sending) takeAcks() (pending int) {
	acked, pending := s.conn.take()
	for _, i := range acked {
		s.acked[i] = true
	}
	return pending
}

// compress returns p as one gzip member, valid until the next call.
func (r *Router) compress(p []byte) ([]byte, error) {
	if r.zout.Cap() > 1<<20 {
		r.zout = bytes.Buffer{}
	}
	r.zout.Reset()
	if r.zip == nil {
		var err error
		if r.zip, err = gzip.NewWriterLevel(&r.zout, gzipLevel); err != nil {
			return nil, err
		}
	}
	r.zip.Reset(&r.zout)
	if _, err := r.zip.Write(p); err != nil {
		return nil, err
	}
	if err := r.zip.Close(); err != nil {
		return nil, err
	}
	return r.zout.Bytes(), nil
}
