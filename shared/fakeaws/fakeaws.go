// Package fakeaws is an AWS endpoint inside the process, on loopback, for tests and for the demo.
//
// It answers Secrets Manager, Systems Manager parameters, S3 objects, STS, ECR, ECR Public and the instance metadata service
// (IMDSv2) for real SDK clients that are pointed at it with AWS_ENDPOINT_URL. Regions, accounts and identities are
// real: a secret lives in one region, the region is that of the request's signature, every signature is verified, and a
// call made with the credentials of an assumed role is that role's. Faults can be switched on, and every call is
// recorded, so a test can say "one call, as this role, of this stage".
//
// It covers what the programs of this project call, and the few write operations that create such things. It refuses
// what it does not know with the error of the service. Keep real secrets out of it: it listens without TLS unless
// told otherwise, and keeps everything in memory.
package fakeaws

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/secretref/secretref/shared/porttest"
)

// The long-lived credentials that every Server knows, as AWS's own documentation prints them. They belong to
// arn:aws:iam::111122223333:user/host (with the account of Options).
const (
	AccessKeyID     = "AKIAIOSFODNN7EXAMPLE"
	SecretAccessKey = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

// Options of a Server. The zero Options are good for a test.
type Options struct {
	Listen     string           // address of the API; "" = a free port of 127.0.0.1
	ListenIMDS string           // address of the metadata service; "" = a free port of 127.0.0.1
	Region     string           // where things are put that name no region; "" = eu-west-1
	Account    string           // whose things they are; "" = 111122223333
	TLS        bool             // serve the API with a certificate of an own CA, see Server.CAPEM
	Now        func() time.Time // the server's clock; nil = time.Now
}

// Server is the endpoint. It is safe for concurrent use.
//
// Its size has a reason: one lock guards the state of all the services, so that a call sees permissions and values of one moment.
type Server struct {
	URL     string // of the API: what AWS_ENDPOINT_URL takes
	IMDSURL string // of the metadata service: what AWS_EC2_METADATA_SERVICE_ENDPOINT takes
	CAPEM   []byte // certificate of the CA, for a custom CA bundle; nil without Options.TLS

	region, account string
	now             func() time.Time
	tls             *tls.Config

	life   sync.Mutex            // guards what starts and stops; no handler of the API may take it
	addr   string                // the API's address, kept over Stop and Restart
	port   *porttest.Reservation // of addr, nil if the caller chose the address
	api    *listening            // nil while stopped
	imds   []*listening
	closed bool

	mu         sync.Mutex // guards everything below
	creds      map[string]Credentials
	roles      map[string]Role
	rules      []rule
	secrets    []*storedSecret
	parameters []*storedParameter
	objects    map[string]Object // by bucket and key
	tokens     map[string]RegistryToken
	metadata   IMDS
	instance   Credentials // of the instance's role, as given out last
	imdsTokens map[string]time.Time
	faults     []*Fault
	calls      []*Call
	called     chan struct{} // closed and replaced at each call
}

// TB is the part of testing.TB that New needs.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// New starts a Server that is closed when the test ends.
func New(t TB, o Options) *Server {
	t.Helper()
	s, err := Start(o)
	if err != nil {
		t.Fatalf("start fakeaws: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// Start starts a Server, which the caller must Close.
func Start(o Options) (*Server, error) {
	s := &Server{
		region: or(o.Region, "eu-west-1"), account: or(o.Account, "111122223333"), now: o.Now,
		creds:  map[string]Credentials{},
		roles:  map[string]Role{},
		tokens: map[string]RegistryToken{},

		objects: map[string]Object{},

		imdsTokens: map[string]time.Time{},
		called:     make(chan struct{}),
	}
	if s.now == nil {
		s.now = time.Now
	}
	host := "arn:" + partition(s.region) + ":iam::" + s.account + ":user/host"
	s.creds[AccessKeyID] = Credentials{AccessKeyID: AccessKeyID, SecretAccessKey: SecretAccessKey, Identity: host}
	scheme := "http://"
	if o.TLS {
		var err error
		if s.tls, s.CAPEM, err = serverTLS(); err != nil {
			return nil, fmt.Errorf("make certificate: %w", err)
		}
		scheme = "https://"
	}
	if err := s.listen(o.Listen); err != nil {
		s.Close()
		return nil, err
	}
	s.URL = scheme + s.addr
	l, err := net.Listen("tcp", or(o.ListenIMDS, "127.0.0.1:0"))
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("listen for metadata requests: %w", err)
	}
	s.IMDSURL = "http://" + l.Addr().String()
	s.ServeIMDS(l)
	return s, nil
}

// listen begins to serve the API. Without an address, the port is reserved over Stop and Restart.
func (s *Server) listen(address string) (err error) {
	s.addr = address
	if address == "" {
		if s.port, err = porttest.Reserve("tcp", "127.0.0.1"); err != nil {
			return err
		}
		s.addr = s.port.Address()
	}
	return s.Restart()
}

// Stop closes the API's listener and connections, so that connects are refused. What was put stays.
// It waits for the requests that are being served, and ends those that hang.
func (s *Server) Stop() {
	s.life.Lock()
	defer s.life.Unlock()
	s.api.stop()
	s.api = nil
}

// Restart listens again, on the same port, after Stop.
func (s *Server) Restart() error {
	s.life.Lock()
	defer s.life.Unlock()
	switch {
	case s.closed:
		return net.ErrClosed
	case s.api != nil:
		return nil
	}
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return fmt.Errorf("listen for API requests: %w", err)
	}
	s.addr = l.Addr().String()
	if s.tls != nil {
		l = tls.NewListener(l, s.tls)
	}
	s.api = serve(l, http.HandlerFunc(s.serveAPI))
	return nil
}

// Close stops everything and waits for it. A second Close does nothing.
func (s *Server) Close() {
	s.life.Lock()
	all := slices.Concat(s.imds, []*listening{s.api})
	s.imds, s.api, s.closed = nil, nil, true
	s.life.Unlock() // a metadata handler may be waiting for it
	for _, l := range all {
		l.stop()
	}
	_ = s.port.Close() // nothing depends on it
}

// Environ returns AWS_* variables that point an SDK client at the API with the host's credentials, in the server's
// region, without metadata service and without the configuration files of the user. With TLS the client needs CAPEM too.
func (s *Server) Environ() []string {
	return append(s.environ(),
		"AWS_ACCESS_KEY_ID="+AccessKeyID,
		"AWS_SECRET_ACCESS_KEY="+SecretAccessKey,
		"AWS_REGION="+s.region,
		"AWS_EC2_METADATA_DISABLED=true")
}

// EnvironIMDS is Environ for a client that gets credentials and region from the metadata service.
func (s *Server) EnvironIMDS() []string {
	return append(s.environ(), "AWS_EC2_METADATA_SERVICE_ENDPOINT="+s.IMDSURL)
}

func (s *Server) environ() []string {
	return []string{"AWS_ENDPOINT_URL=" + s.URL, "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null"}
}

// listening is one listener with its HTTP server. Its context ends every handler that waits.
type listening struct {
	srv    *http.Server
	cancel context.CancelFunc
	done   sync.WaitGroup // Serve, and every connection
}

type connKey struct{} // context key of the net.Conn of a request

func serve(l net.Listener, h http.Handler) *listening {
	ctx, cancel := context.WithCancel(context.Background())
	n := &listening{cancel: cancel}
	n.srv = &http.Server{
		Handler:           h,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // clients that go away are what tests are made of
	}
	n.srv.ConnState = func(c net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew: // runs before Serve goes on, so that stop cannot miss the connection
			n.done.Add(1)
			if ctx.Err() != nil {
				_ = c.Close() // accepted while the server was being closed
			}
		case http.StateClosed, http.StateHijacked:
			n.done.Done()
		}
	}
	n.done.Go(func() { _ = n.srv.Serve(l) })
	return n
}

func (n *listening) stop() {
	if n == nil {
		return
	}
	n.cancel()
	_ = n.srv.Close()
	n.done.Wait()
}

// partition returns the partition in which a region lies.
func partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
