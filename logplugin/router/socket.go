package router

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"os"
	"time"
)

// SocketConfig says what a Socket sends, and where.
type SocketConfig struct {
	Router  string // for errors: "syslog"
	Options Options
	List    []Option
	Form    AddressForm // schemes udp, tcp, unix and unixgram, and the one with TLS
	Secure  string      // the scheme with TLS
	TLS     TLSNames
	Timeout string // the option that says how long a receiver may take nothing; a duration
	// Wire reads the other connection options, and says how records go to an address; faults are in the values.
	Wire func(*Values, Address) Wire
}

// Wire is how records are sent.
type Wire struct {
	// Octets says that the length of each record stands before it on a stream: octet counting as of RFC 6587.
	Octets bool
	// Datagram cuts one record into datagrams, and calls write for each of them. nil means that the record is one.
	Datagram func(record []byte, write func([]byte) error) error
}

// DefaultSocketTimeout is the value of the option Timeout when it is not given.
const DefaultSocketTimeout = 30 * time.Second

// Socket is a router whose protocol has no answers: records go into a socket. On a stream a batch counts as delivered when
// the receiver's host has acknowledged all of it, which is not yet that the receiver has read it; on a socket of this host
// when it was read. What a receiver that dies had not read is lost, at most what its socket buffer holds.
type Socket struct {
	config       SocketConfig
	certificates Certificates
	failover     Failover
	timing       socketTiming
	turn         chan struct{} // holds one; who has put it there uses the rest

	conn        *socketConn
	fingerprint [sha256.Size]byte // of the secrets that conn was made with
	tls         *tls.Config       // that conn was made with
	out         []byte
	marks       []socketMark
}

// socketTiming is a field so that tests need not wait.
type socketTiming struct {
	dial    time.Duration // TCP's part of connecting
	hello   time.Duration // the TLS handshake
	heard   time.Duration // how long a server may take to say that it takes the client's certificate, or not
	young   time.Duration // how long the first batch of a connection waits for its end: what stands between may accept for a receiver that is away
	refresh time.Duration // how long a UDP receiver's name is believed to have the same address
}

var (
	_ Router   = (*Socket)(nil)
	_ Verifier = (*Socket)(nil)
	_ Noter    = (*Socket)(nil)
)

// NewSocket returns a Socket that connects when there is something to send.
func NewSocket(c SocketConfig) *Socket {
	return &Socket{config: c, turn: make(chan struct{}, 1),
		timing: socketTiming{dial: 10 * time.Second, hello: 10 * time.Second, heard: time.Second, young: 100 * time.Millisecond, refresh: time.Minute}}
}

// Check reads the options of c without asking for a secret.
func (c SocketConfig) Check() error {
	v := c.Options.Unresolved()
	c.Read(v)
	return v.Err()
}

// Read reads the options of c in v, which has the faults.
func (c SocketConfig) Read(v *Values) { c.read(v, nil) }

// receivers is what the options say of where records go.
type receivers struct {
	addresses []Address
	wires     []Wire // by address
	tls       *tls.Config
	timeout   time.Duration
	hidden    bool // the addresses came by reference, and are shown nowhere
}

// read reads the connection's options; the faults are in v. Certificates come from k, which may be nil.
func (c SocketConfig) read(v *Values, k *Certificates) receivers {
	const longest = 10 * time.Minute
	r := receivers{hidden: v.IsSecret(c.Form.Option), timeout: v.Duration(c.Timeout, DefaultSocketTimeout, time.Second, longest)}
	r.addresses = v.AddressList(c.Form)
	secure := v.Waits(c.Form.Option)
	for _, a := range r.addresses {
		r.wires = append(r.wires, c.Wire(v, a))
		secure = secure || a.Scheme == c.Secure
	}
	r.tls = k.Config(v, c.TLS)
	for _, name := range append(c.TLS.Credentials(), c.TLS.ServerName, c.TLS.SkipVerify) {
		if v.Has(name) && !secure {
			v.Refuse("log-opt %s needs a %s that begins with %s://", name, c.Form.Option, c.Secure)
		}
	}
	return r
}

// Note implements Noter.
func (s *Socket) Note() string { return s.certificates.Note() }

// Close implements Router.
func (s *Socket) Close() error {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	s.drop(false)
	return nil
}

// drop gives the connection up. What the kernel has not sent of it yet is thrown away with abort.
func (s *Socket) drop(abort bool) {
	if s.conn != nil {
		s.conn.shut(abort)
		s.conn = nil
	}
}

// Send implements Router.
func (s *Socket) Send(ctx context.Context, b *Batch) error {
	if b.Len() == 0 {
		return nil
	}
	return s.use(ctx, "send to ", func(u *socketUse) *Error { return u.send(b) })
}

// Verify implements Verifier: it connects to the address that the next batch would go to, and sends nothing.
func (s *Socket) Verify(ctx context.Context) error {
	return s.use(ctx, "reach ", (*socketUse).connect)
}

// use calls f for one address when it is this call's turn, and gives up the connection when f has failed. After a probe it
// goes on with another address.
func (s *Socket) use(ctx context.Context, purpose string, f func(*socketUse) *Error) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return &Error{Class: ClassRetry, Op: purpose + "the " + s.config.Router + " receiver", Cause: "stopped", Bad: NoRecord, Err: ctx.Err()}
	}
	v, r, failed := s.begin(ctx)
	if failed != nil {
		return failed
	}
	for {
		i, probe := s.failover.Choose(len(r.addresses))
		u := &socketUse{s: s, ctx: ctx, values: v, receivers: r, index: i, op: purpose + r.name(i, s.config.Router)}
		failed := f(u)
		if failed == nil {
			s.failover.Report(i, len(r.addresses), true)
			return nil
		}
		s.drop(true)
		if u.isIdleEnd(failed) {
			continue
		}
		if ctx.Err() == nil {
			s.failover.Report(i, len(r.addresses), false)
		}
		if !probe || ctx.Err() != nil || failed.Delivered > 0 {
			return failed
		}
	}
}

// isIdleEnd reports whether a connection that was there already has ended: as far as is known while nothing was sent. Another
// is made at once, and that is not a failure.
func (u *socketUse) isIdleEnd(e *Error) bool {
	return u.conn != nil && !u.fresh && e.Class == ClassRetry && !e.TimedOut && u.ctx.Err() == nil && e.Delivered == 0
}

func (r receivers) name(i int, router string) string { return r.addresses[i].Shown(r.hidden, router) }

// begin asks for the secrets, and gives up a connection that was made with others.
func (s *Socket) begin(ctx context.Context) (*Values, receivers, *Error) {
	op := "read " + s.config.Router + " log-opts"
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	v, err := s.config.Options.Connection(ctx, s.config.List)
	if err != nil {
		return nil, receivers{}, FromSource(op, err)
	}
	r := s.config.read(v, &s.certificates)
	if err := v.Err(); err != nil {
		return nil, receivers{}, &Error{Class: ClassConfig, Op: op, Cause: err.Error(), Bad: NoRecord}
	}
	if fingerprint := v.Fingerprint(); s.conn != nil && (fingerprint != s.fingerprint || r.tls != s.tls || s.conn.isGone() || s.conn.isOld(s.timing.refresh)) {
		s.drop(false)
	}
	return v, r, nil
}

// socketUse is one call of Send or Verify, with one address.
type socketUse struct {
	receivers
	s      *Socket
	ctx    context.Context // of the call, which this does not outlive
	values *Values
	index  int // of the address
	op     string
	conn   *socketConn
	fresh  bool // conn was made for this call
	safe   int  // records of the batch that need not be sent again, whatever happens
}

// connect makes sure that there is a connection.
func (u *socketUse) connect() *Error {
	s := u.s
	if s.conn != nil && s.conn.address != u.addresses[u.index] {
		s.drop(false)
	}
	if s.conn == nil {
		c, err := u.dial()
		if err != nil {
			return u.failed(err)
		}
		s.conn, s.fingerprint, s.tls, u.fresh = c, u.values.Fingerprint(), u.receivers.tls, true
	}
	u.conn = s.conn
	return nil
}

func (u *socketUse) send(b *Batch) *Error {
	if failed := u.connect(); failed != nil {
		return failed
	}
	stop := EndWith(u.ctx, u.conn)
	defer stop()
	if u.conn.isStream() {
		return u.stream(b)
	}
	return u.datagrams(b)
}

// write writes p, for which the receiver has the timeout.
func (u *socketUse) write(p []byte) error {
	if err := u.allow(); err != nil {
		return err
	}
	return u.conn.writeAll(p)
}

// allow gives the receiver the timeout to take what is written next.
func (u *socketUse) allow() error {
	_ = u.conn.SetWriteDeadline(time.Now().Add(u.timeout))
	return u.ctx.Err() // it may have ended before the deadline was set
}

// outlives waits until a new connection has outlived its youth.
func (u *socketUse) outlives() error {
	if !u.fresh || IsFile(u.conn.address.Scheme) {
		return nil
	}
	timer := time.NewTimer(u.s.timing.young)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-u.conn.gone:
		return u.conn.err
	case <-u.ctx.Done():
		return u.ctx.Err()
	}
}

// drained waits until the other side has taken all that was written.
func (u *socketUse) drained() error {
	const first, longest = 50 * time.Microsecond, 5 * time.Millisecond
	timer := time.NewTimer(first)
	defer timer.Stop()
	last, since := -1, time.Now()
	for pause := first; ; pause = min(2*pause, longest) {
		n, err := u.conn.queued()
		switch {
		case err != nil:
			return err
		case u.conn.isGone():
			return u.conn.err
		case n == 0:
			return u.conn.ended()
		case n < last || last < 0:
			last, since = n, time.Now()
		case time.Since(since) > u.timeout:
			return os.ErrDeadlineExceeded
		}
		timer.Reset(pause)
		select {
		case <-timer.C:
		case <-u.conn.gone:
		case <-u.ctx.Done():
			return u.ctx.Err()
		}
	}
}
