package splunk

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/shared/secret"
)

const (
	eventPath  = "/services/collector/event/1.0" // Docker's, in the raw format too
	ackPath    = "/services/collector/ack"
	healthPath = "/services/collector/health/1.0"
)

// Deadlines, each for one step and together with the caller's context.
const (
	dialTimeout    = 10 * time.Second
	requestTimeout = 30 * time.Second // from the connection to the end of the answer
	ackTimeout     = 2 * time.Minute  // from an accepted request to the indexers' word
	firstAckPoll   = 100 * time.Millisecond
	lastAckPoll    = 5 * time.Second
)

// A gzip writer is up to 800 KiB; more requests than this at once are compressed with one that is thrown away.
const maxWriters = 2

// defaultLevel is what level -1 means: half the time of zlib's 6, for 3 % more bytes of web server logs.
const defaultLevel = 2

// Router sends batches to one HEC. It keeps one client, and with acknowledgement one channel, for its life; it makes a
// new client only when an option that is a secret has a new value, but for the token, which is asked for at each request.
type Router struct {
	options router.Options
	channel string // of indexer acknowledgement
	timing  timing
	acks    *acks

	mu     sync.Mutex
	print  [sha256.Size]byte // of the secrets that conn was made from
	conn   connection
	client *http.Client // nil before the first use
	idle   []*compressor
}

var (
	_ router.Router             = (*Router)(nil)
	_ router.Verifier           = (*Router)(nil)
	_ router.CredentialVerifier = (*Router)(nil)
)

// timing is a field so that tests need not wait.
type timing struct {
	request, ack, firstPoll, lastPoll time.Duration
}

// New returns a router for c. It connects when there is something to send.
func New(c Config) *Router {
	r := &Router{options: c.options, channel: newChannel(),
		timing: timing{requestTimeout, ackTimeout, firstAckPoll, lastAckPoll}}
	r.acks = newAcks(r)
	return r
}

// newChannel returns a random GUID, which is what HEC takes as the name of a channel.
func newChannel() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Close implements router.Router.
func (r *Router) Close() error {
	r.acks.close()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client != nil {
		r.client.CloseIdleConnections()
	}
	r.idle = nil
	return nil
}

// use is what one Send works with: values and client of one moment.
type use struct {
	r      *Router
	values *router.Values
	conn   connection
	client *http.Client
}

// begin asks for the secrets, and makes a new client if one of them but the token has changed.
func (r *Router) begin(ctx context.Context) (*use, *router.Error) {
	const op = "read splunk log-opts"
	ctx, cancel := context.WithTimeout(ctx, r.timing.request)
	defer cancel()
	values, err := r.options.Connection(ctx, options)
	if err != nil {
		return nil, router.FromSource(op, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	made := values.Fingerprint("splunk-token")
	if r.client == nil || made != r.print {
		conn := connectionOf(values)
		if err := values.Err(); err != nil {
			return nil, &router.Error{Class: router.ClassConfig, Op: op, Cause: err.Error(), Bad: router.NoRecord}
		}
		if r.client != nil {
			r.client.CloseIdleConnections()
		}
		r.conn, r.client, r.print, r.idle = conn, newClient(conn), made, nil
	}
	return &use{r, values, r.conn, r.client}, nil
}

func newClient(c connection) *http.Client {
	client := &http.Client{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext,
			TLSClientConfig:     c.tls,
			TLSHandshakeTimeout: dialTimeout,
			MaxIdleConnsPerHost: 4,
			IdleConnTimeout:     90 * time.Second,
			WriteBufferSize:     64 << 10,
		},
		// The answer that says where to go is shown; the token is not carried there.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if c.ack {
		// Acknowledgements are known to the indexer that took the batch; load balancers stick by cookie.
		client.Jar, _ = cookiejar.New(nil) // its error is always nil
	}
	return client
}

// Send implements router.Router. With splunk-index-acknowledgment it returns when the indexers have the batch.
func (r *Router) Send(ctx context.Context, b *router.Batch) error {
	if b.Len() == 0 {
		return nil
	}
	u, failed := r.begin(ctx)
	if failed != nil {
		return failed
	}
	op := "send to " + u.conn.base
	body := b.Body
	if u.conn.gzip {
		c, err := r.compressor(u.conn.level)
		if err != nil {
			return &router.Error{Class: router.ClassConfig, Op: op, Cause: "compress: " + err.Error(), Bad: router.NoRecord, Err: err}
		}
		defer r.giveBack(c, u.conn.level)
		if body, err = c.compress(b.Body); err != nil {
			return &router.Error{Class: router.ClassConfig, Op: op, Cause: "compress: " + err.Error(), Bad: router.NoRecord, Err: err}
		}
	}
	a, failed := u.do(ctx, op, http.MethodPost, eventPath, body, u.conn.gzip)
	if failed == nil {
		failed = u.judge(a, op, b.Len())
	}
	if failed == nil && u.conn.ack && a.hasAck {
		failed = r.acks.await(ctx, "await acknowledgement from "+u.conn.base, a.ack)
	}
	if failed != nil {
		return failed
	}
	return nil
}

// judge makes an error of an answer, and tells the source of a token that was refused.
func (u *use) judge(a answer, op string, n int) *router.Error {
	e := a.err(op, n, u.conn.ack)
	if e != nil && e.Class == router.ClassCredentials {
		u.r.options.Invalidate(u.values, "splunk-token")
	}
	return e
}

// do makes one request and reads its answer. Nothing of body is read after it has returned.
func (u *use) do(ctx context.Context, op, method, path string, body []byte, gzipped bool) (answer, *router.Error) {
	ctx, cancel := context.WithTimeout(ctx, u.r.timing.request)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, u.conn.base+path, nil)
	if err != nil {
		return answer{}, u.failed(op, err)
	}
	if body != nil {
		l := &lent{data: body}
		defer l.takeBack()
		req.Body = l.reader()
		req.GetBody = func() (io.ReadCloser, error) { return l.reader(), nil } // for a connection that was closed before the first byte
		req.ContentLength = int64(len(body))
	}
	req.Header.Set("User-Agent", "secretref-logdriver")
	if method != http.MethodOptions { // Docker's probe has no token either
		req.Header.Set("Authorization", "Splunk "+u.values.Secret("splunk-token").Reveal())
		if u.conn.ack {
			req.Header.Set("X-Splunk-Request-Channel", u.r.channel)
		}
	}
	if gzipped {
		req.Header.Set("Content-Encoding", "gzip")
	}
	res, err := u.client.Do(req)
	if err != nil {
		return answer{}, u.failed(op, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return answer{}, u.failed(op, err)
	}
	return parseAnswer(res, text, time.Now()), nil
}

// failed makes an error of a request that got no answer.
func (u *use) failed(op string, err error) *router.Error {
	e := &router.Error{Class: router.ClassRetry, Op: op, Bad: router.NoRecord, Err: secret.RedactError(err)}
	var timeout net.Error
	class, cause, hint := router.TLSFault(err, tlsNames)
	switch {
	case class != "":
		e.Class, e.Cause, e.Hint = class, cause, hint
		u.r.options.Invalidate(u.values, tlsNames.Credentials()...) // it may have been rotated
	case errors.Is(err, context.Canceled):
		e.Cause = "stopped"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		e.Cause = "no answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		e.Cause = "the receiver closed the connection without an answer"
	default:
		e.Cause = networkCause(err)
	}
	return e
}

// networkCause says what the network said, and leaves out what others may have put into an error.
func networkCause(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Error()
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return dns.Error()
	}
	return "the connection broke"
}

// Verify implements router.Verifier: with splunk-verify-connection it asks, as Docker's driver does, whether there is an
// event collector, without a token. What it finds does not stop a container; the caller shows it.
func (r *Router) Verify(ctx context.Context) error {
	u, failed := r.begin(ctx)
	if failed != nil {
		return failed
	}
	if !u.conn.verify {
		return nil
	}
	return u.ask(ctx, "reach "+u.conn.base, http.MethodOptions, eventPath)
}

// VerifyCredentials implements router.CredentialVerifier: it asks HEC how it is, and whether it accepts the token.
func (r *Router) VerifyCredentials(ctx context.Context) error {
	u, failed := r.begin(ctx)
	if failed != nil {
		return failed
	}
	if err := u.ask(ctx, "ask for the health of "+u.conn.base, http.MethodGet, healthPath); err != nil {
		return err
	}
	// Older servers are well whatever the token is. A request without data is refused only after a look at it.
	op := "send nothing to " + u.conn.base
	a, failed := u.do(ctx, op, http.MethodPost, eventPath, []byte{}, false)
	if failed == nil && a.code != codeNoData {
		failed = u.judge(a, op, 0)
	}
	if failed != nil {
		return failed
	}
	return nil
}

func (u *use) ask(ctx context.Context, op, method, path string) error {
	a, failed := u.do(ctx, op, method, path, nil, false)
	if failed == nil {
		failed = u.judge(a, op, 0)
	}
	if failed == nil {
		return nil
	}
	if failed.Class == router.ClassBadRecords || failed.Class == router.ClassTooLarge {
		failed.Class = router.ClassConfig // nothing was sent
	}
	return failed
}

// compressor makes gzip members and reuses its memory.
type compressor struct {
	w   *gzip.Writer
	out bytes.Buffer
}

func (r *Router) compressor(level int) (*compressor, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.idle); n > 0 {
		c := r.idle[n-1]
		r.idle = r.idle[:n-1]
		return c, nil
	}
	c := &compressor{}
	var err error
	if level == gzip.DefaultCompression {
		level = defaultLevel
	}
	c.w, err = gzip.NewWriterLevel(&c.out, level)
	return c, err
}

// giveBack keeps c for the next request, unless it has grown too large or the level has changed meanwhile.
func (r *Router) giveBack(c *compressor, level int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.idle) < maxWriters && c.out.Cap() <= 1<<20 && r.conn.level == level && r.client != nil {
		r.idle = append(r.idle, c)
	}
}

// compress returns p as one gzip member, valid until the next call.
func (c *compressor) compress(p []byte) ([]byte, error) {
	c.out.Reset()
	c.w.Reset(&c.out)
	if _, err := c.w.Write(p); err != nil {
		return nil, err
	}
	if err := c.w.Close(); err != nil {
		return nil, err
	}
	return c.out.Bytes(), nil
}
