package splunk

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/secretref/secretref/logplugin/router"
)

const (
	eventPath  = "/services/collector/event/1.0" // Docker's, in the raw format too
	ackPath    = "/services/collector/ack"
	healthPath = "/services/collector/health/1.0"
)

// Deadlines, each for one step and together with the caller's context.
const (
	defaultTimeout = 30 * time.Second // from the connection to the end of the answer: splunk-timeout
	ackTimeout     = 2 * time.Minute  // from an accepted request to the indexers' word
	firstAckPoll   = 100 * time.Millisecond
	lastAckPoll    = 5 * time.Second
)

// Router sends batches to one HEC. It keeps one client, and with acknowledgement one channel, for its life; it makes a
// new client only when an option that is a secret or a file of certificates has changed, but for the token, which is
// asked for at each request.
type Router struct {
	*router.Link[connection]

	channel string // of indexer acknowledgement
	timing  timing
	acks    *acks
	oldOK   atomic.Bool // the receiver answers "OK", without a code
}

var (
	_ router.Verifier           = (*Router)(nil)
	_ router.CredentialVerifier = (*Router)(nil)
	_ router.Noter              = (*Router)(nil)
)

// timing is a field so that tests need not wait.
type timing struct {
	ack, firstPoll, lastPoll time.Duration
}

// newRouter returns a router for o. It connects when there is something to send.
func newRouter(o router.Options) router.Router {
	r := &Router{channel: newChannel(), timing: timing{ackTimeout, firstAckPoll, lastAckPoll}}
	r.Link = router.NewLink(router.LinkConfig[connection]{
		Op: op, Options: o, List: options, TLS: tlsNames, Credentials: []string{"splunk-token"},
		Check: checkToken, Read: connectionOf, Client: connection.client,
	})
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
	return r.Link.Close()
}

// Note implements router.Noter.
func (r *Router) Note() string {
	var notes []string
	if note := r.Link.Note(); note != "" {
		notes = append(notes, note)
	}
	if r.oldOK.Load() {
		notes = append(notes, `the receiver answers "OK" without a HEC code, as old collectors that are not Splunk's do`)
	}
	return strings.Join(notes, "; ")
}

// use is what one Send works with: values and client of one moment.
type use struct {
	*router.Use[connection]
	r *Router
}

func (r *Router) begin(ctx context.Context) (*use, *router.Error) {
	u, failed := r.Link.Begin(ctx)
	if failed != nil {
		return nil, failed
	}
	return &use{u, r}, nil
}

// client says how the client of c is made.
func (c connection) client() router.HTTPConfig {
	h := router.HTTPConfig{
		Base: c.bases[0], Others: c.bases[1:], Hidden: c.hidden, TLS: c.tls, Timeout: c.timeout, Level: c.level,
		Sticky: c.ack, // acknowledgements are known to the indexer that took the batch
		Redact: redact,
	}
	if c.gzip {
		h.Encoding = router.Gzip
	}
	return h
}

// redact takes out of a text what the options hide.
func redact(v *router.Values, text string) string { return v.RedactAddress(options, addressForm, text) }

// Send implements router.Router. With splunk-index-acknowledgment it returns when the indexers have the batch.
func (r *Router) Send(ctx context.Context, b *router.Batch) error {
	if b.Len() == 0 {
		return nil
	}
	if failed := r.send(ctx, b); failed != nil {
		return failed
	}
	return nil
}

func (r *Router) send(ctx context.Context, b *router.Batch) *router.Error {
	u, failed := r.begin(ctx)
	if failed != nil {
		return failed
	}
	op := "send to " + u.Conn.name
	a, failed := u.do(ctx, router.Request{Op: op, Method: http.MethodPost, Path: eventPath, Body: b.Body})
	if failed != nil {
		return failed
	}
	if failed = u.judge(a, op, b); failed != nil || !u.Conn.ack {
		return failed
	}
	if !a.hasAck {
		return &router.Error{Class: router.ClassConfig, Op: op, Cause: "the answer has no usable ackId", Hint: ackHint, Bad: router.NoRecord}
	}
	return r.acks.await(ctx, "await acknowledgement from "+u.Conn.name, ackKey{a.At, a.ack})
}

// judge makes an error of the answer to a batch, which is nil when nothing was sent, and invalidates a token
// that was refused.
func (u *use) judge(a answer, op string, b *router.Batch) *router.Error {
	if is2xx := a.Status >= 200 && a.Status < 300; is2xx && u.Conn.any2xx {
		return nil
	}
	v := a.verdict()
	if v.class == delivered {
		u.r.oldOK.Store(a.oldOK)
		return nil
	}
	n := 0
	if b != nil {
		n = b.Len()
	}
	e := a.err(v, op, n, u.Conn.ack)
	switch {
	case a.code == codeIncorrectIndex && b != nil:
		e.Hint = indexHint(b)
	case e.Class == router.ClassConfig && a.code == noCode && u.Conn.noPort:
		e.Hint += portHint
	case e.Class == router.ClassCredentials:
		u.Refused()
	}
	return e
}

// portHint is for an address without a port.
const portHint = "; HEC listens on port 8088 unless that was changed, and splunk-url has no port"

// indexHint names the index that the token does not allow: all sessions of a router have the same.
func indexHint(b *router.Batch) string {
	for _, run := range b.Runs {
		if e, ok := run.Encoder.(*Encoder); ok && e.index != "" {
			return fmt.Sprintf("allow index %q for the token, or set another as splunk-index", e.index)
		}
	}
	return codes[codeIncorrectIndex].hint
}

// do makes the request r, which has no header, and reads its answer. Nothing of its body is read after it has returned.
func (u *use) do(ctx context.Context, r router.Request) (answer, *router.Error) {
	r.Header, r.Plain = http.Header{}, r.Path != eventPath
	if r.Method != http.MethodOptions { // Docker's probe has no token either
		r.Header.Set("Authorization", "Splunk "+u.Values.Secret("splunk-token").Reveal())
		if u.Conn.ack {
			r.Header.Set("X-Splunk-Request-Channel", u.r.channel)
		}
	}
	a, failed := u.Do(ctx, r)
	if failed == nil {
		return parseAnswer(a), nil
	}
	if !failed.IsTLS && u.Conn.noPort {
		failed.Hint += portHint
	}
	failed.Hint = strings.TrimPrefix(failed.Hint, "; ")
	return answer{}, failed
}

// Verify implements router.Verifier: with splunk-verify-connection it asks, as Docker's driver does, whether there is an
// event collector, without a token. What it finds does not stop a container; the caller shows it.
func (r *Router) Verify(ctx context.Context) error {
	u, failed := r.begin(ctx)
	if failed != nil {
		return failed
	}
	if !u.Conn.verify {
		return nil
	}
	return u.ask(ctx, "reach "+u.Conn.name, http.MethodOptions, eventPath)
}

// VerifyCredentials implements router.CredentialVerifier: it asks HEC how it is, and whether it accepts the token.
func (r *Router) VerifyCredentials(ctx context.Context) error {
	u, failed := r.begin(ctx)
	if failed != nil {
		return failed
	}
	if err := u.ask(ctx, "ask for the health of "+u.Conn.name, http.MethodGet, healthPath); err != nil {
		return err
	}
	// Older servers are well whatever the token is. A request without data is refused only after a look at it.
	op := "send nothing to " + u.Conn.name
	a, failed := u.do(ctx, router.Request{Op: op, Method: http.MethodPost, Path: eventPath, Body: []byte{}})
	if failed == nil && (a.code != codeNoData || a.Status != http.StatusBadRequest) {
		failed = u.judge(a, op, nil)
	}
	if failed != nil {
		return failed
	}
	return nil
}

// ask asks for something of which HEC's answers differ: any 2xx that is not a web page is good.
func (u *use) ask(ctx context.Context, op, method, path string) error {
	a, failed := u.do(ctx, router.Request{Op: op, Method: method, Path: path})
	if failed == nil && (a.Status < 200 || a.Status >= 300 || a.HTML || a.code != noCode && codes[a.code].class != delivered) {
		failed = u.judge(a, op, nil)
	}
	if failed == nil {
		return nil
	}
	if failed.Class == router.ClassBadRecords || failed.Class == router.ClassTooLarge {
		failed.Class = router.ClassConfig // nothing was sent
	}
	return failed
}
