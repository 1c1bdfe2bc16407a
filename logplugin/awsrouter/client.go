package awsrouter

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/fault"
)

// resolveTimeout is for secrets among the options, the region, the credentials and the account.
const resolveTimeout = 30 * time.Second

// ClientConfig says what a Client is for.
type ClientConfig struct {
	Service Service
	Op      string // for errors: "read awslogs log-opts"
	Options router.Options
	List    []router.Option
}

// Client makes the calls of one router. It is safe for concurrent use.
type Client struct {
	host   *Host
	config ClientConfig
	signer *v4.Signer
	creds  atomic.Pointer[aws.Credentials] // of the last call, to be taken out of what others say
	skew   atomic.Int64                    // how much AWS's clock is ahead of this host's, in nanoseconds

	certificates router.Certificates

	mu   sync.Mutex
	made made // what http was made of
	http *router.HTTP
}

// made is what a change of makes another HTTP.
type made struct {
	base    string
	hidden  bool
	timeout time.Duration
	via     http.RoundTripper
	tls     *tls.Config // of the options; nil = they have none
}

// NewClient returns a Client that connects when there is something to send.
func NewClient(h *Host, c ClientConfig) *Client {
	return &Client{host: h, config: c, signer: v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = c.Service.Name == objects })}
}

// Close frees the connections that are not in use.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.http != nil {
		c.http.Close()
	}
}

// Note says what is wrong with files of certificates that were renewed, and with the clock of this host; "" means nothing.
func (c *Client) Note() string {
	note, clock := c.certificates.Note(), router.SkewNote(time.Duration(c.skew.Load()))
	if note == "" || clock == "" {
		return note + clock
	}
	return note + "; " + clock
}

// Use is the options, the credentials and the connections of one moment.
type Use struct {
	Values *router.Values
	Region string
	Key    string // the same for uses that reach the same resources with the same permissions
	Into   []byte // memory for the next answer; may be nil

	client *Client
	as     awsconf.Identity
	creds  aws.Credentials
	base   string
	http   *router.HTTP
}

// Begin asks for the secrets among the options, and for credentials, and looks whether lines may be sent there.
func (c *Client) Begin(ctx context.Context) (*Use, *router.Error) {
	limited, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	u, err := c.begin(limited)
	return u, inTime(ctx, limited, err)
}

// inTime returns e, of which class credentials is not believed when the caller has given less time than limited allows: they may have
// been under way. What gets them ends a little before the caller's time does, to say why.
func inTime(ctx, limited context.Context, e *router.Error) *router.Error {
	end, _ := ctx.Deadline()
	most, _ := limited.Deadline()
	if e != nil && e.Class == router.ClassCredentials && (ctx.Err() != nil || end.Equal(most) && errors.Is(e, context.DeadlineExceeded)) {
		e.Class = router.ClassRetry
	}
	return e
}

func (c *Client) begin(ctx context.Context) (*Use, *router.Error) {
	free := c.config.Options
	free.Allow = nil
	v, err := free.Connection(ctx, c.config.List)
	if err != nil {
		return nil, router.FromSource(c.config.Op, err)
	}
	conn := c.config.Service.read(v)
	var own *tls.Config
	if c.config.Service.hasTLS(v) {
		own = c.certificates.Config(v, c.config.Service.tlsNames())
	}
	if err := v.Err(); err != nil {
		return nil, c.wrong(err.Error())
	}
	if c.host.session == nil {
		return nil, c.wrong("AWS cannot be reached from here")
	}
	if conn.region == "" {
		if conn.region, err = c.host.session.Region(ctx); err != nil {
			return nil, c.unavailable(err)
		}
	}
	if err := c.allowed(ctx, v, conn.as); err != nil {
		return nil, err
	}
	service, err := c.host.session.Service(ctx, c.config.Service.SDKID, conn.region, conn.as)
	if err != nil {
		return nil, c.unavailable(err)
	}
	if conn.base == "" {
		conn.base = service.Endpoint
	}
	if conn.base == "" {
		conn.base = publicEndpoint(c.config.Service.Name, conn.region, service.FIPS, service.Dualstack)
	}
	conn.base = strings.TrimRight(conn.base, "/")
	c.creds.Store(&service.Credentials)
	u := &Use{Values: v, Region: conn.region, client: c, as: conn.as, creds: service.Credentials, base: conn.base}
	u.Key = conn.base + " " + conn.region + " " + conn.as.Path + " " + conn.as.Role.RoleARN
	u.http = c.connections(made{conn.base, conn.hidden, conn.timeout, service.Client.Transport, own})
	return u, nil
}

// allowed asks Options.Allow, after it has found out the account where that is asked for.
func (c *Client) allowed(ctx context.Context, v *router.Values, as awsconf.Identity) *router.Error {
	allow := c.config.Options.Allow
	if allow == nil {
		return nil
	}
	err := allow(v)
	if errors.Is(err, router.ErrAccountUnknown) {
		if _, err := c.host.session.Account(ctx, as); err != nil {
			return c.unavailable(err)
		}
		err = allow(v)
	}
	if err != nil {
		return router.FromSource(c.config.Op, err)
	}
	return nil
}

// wrong is a mistake in the options.
func (c *Client) wrong(cause string) *router.Error {
	return &router.Error{Class: router.ClassConfig, Op: c.config.Op, Cause: cause, Bad: router.NoRecord}
}

// unavailable is a region, credentials or an account that could not be had. None of them stops a container, and all of them may
// come: a host without a role gets one.
func (c *Client) unavailable(err error) *router.Error {
	return unavailable("prepare to send to "+c.config.Service.SDKID, err)
}

func unavailable(op string, err error) *router.Error {
	e := router.FromSource(op, err)
	if e.Class == router.ClassRetry && fault.KindOf(err) == fault.NoCredentials {
		e.Class = router.ClassCredentials
	}
	return e
}

// publicEndpoint returns the address of a service in a region.
func publicEndpoint(name, region string, fips, dualstack bool) string {
	p := awsconf.PartitionOf(region)
	domain := p.Domain
	switch {
	case dualstack && name == objects: // S3 is older than the domain for that
		region = "dualstack." + region
	case dualstack:
		domain = p.Dualstack
	}
	if fips {
		name += "-fips"
	}
	return "https://" + name + "." + region + "." + domain
}

// connections returns the HTTP of these properties.
func (c *Client) connections(m made) *router.HTTP {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.http != nil && c.made == m {
		return c.http
	}
	if c.http != nil {
		c.http.Close()
	}
	config := router.HTTPConfig{
		Base: m.base, Hidden: m.hidden, Timeout: m.timeout, Redact: c.redact,
		TLSName: c.config.Service.tlsNames(),
	}
	config.TLSName.CA = append(config.TLSName.CA, "ca_bundle under [aws]")
	if t, ok := m.via.(*http.Transport); ok {
		config.Proxy, config.ProxySetting = t.Proxy, c.host.session.ProxySetting()
		config.TLS = withTLS(t.TLSClientConfig, m.tls)
	}
	c.made, c.http = m, router.NewHTTP(config)
	return c.http
}

// withTLS returns the host's TLS configuration with what the options say; nil is what they do not say.
func withTLS(host, own *tls.Config) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if host != nil {
		c = host.Clone()
	}
	if own == nil {
		return c
	}
	if own.RootCAs != nil {
		c.RootCAs = own.RootCAs
	}
	c.Certificates, c.ServerName, c.InsecureSkipVerify = own.Certificates, own.ServerName, own.InsecureSkipVerify
	return c
}

// redact takes out of a text what is secret, and an endpoint that came by reference.
func (c *Client) redact(v *router.Values, text string) string {
	return v.RedactAddress(c.config.List, c.config.Service.endpointForm(), v.Redact(c.config.List, text, secretsOf(c.creds.Load())...))
}

// Shown names what is called, for errors.
func (u *Use) Shown() string {
	s := u.client.config.Service
	switch {
	case u.Values.IsSecret(s.Prefix + "-endpoint"):
		return s.Prefix
	case !u.Values.Has(s.Prefix + "-endpoint"):
		return s.SDKID + " in " + u.Region
	}
	return u.base
}

// Call makes one call. When AWS says that the clock of this host is wrong, it makes another with AWS's time. The answer is good where
// no error comes with it: a JSON object, or nothing at all. A long one only begins and ends like an object: the caller reads it.
func (u *Use) Call(ctx context.Context, op, operation string, body []byte, header http.Header) (router.Answer, *Refusal) {
	return u.twice(func() (router.Answer, *router.Error) { return u.try(ctx, op, operation, body, header) },
		func(a *router.Answer) *Refusal { return judge(op, a, strings.HasPrefix(operation, "Create")) })
}

// twice tries, and once more when AWS says that the clock of this host is wrong. judge reads an answer.
func (u *Use) twice(do func() (router.Answer, *router.Error), judge func(*router.Answer) *Refusal) (router.Answer, *Refusal) {
	for try := 1; ; try++ {
		a, failed := do()
		if failed != nil {
			return a, &Refusal{Error: failed}
		}
		refusal := judge(&a)
		if refusal == nil {
			return a, nil
		}
		if try == 1 && refusal.isAboutTime() && u.client.learnTime(&a) {
			continue
		}
		if refusal.isAboutCredentials() {
			u.client.host.session.Refused(u.as, u.creds)
		}
		return a, refusal
	}
}

// try makes one request.
func (u *Use) try(ctx context.Context, op, operation string, body []byte, header http.Header) (router.Answer, *router.Error) {
	target, err := url.Parse(u.base + "/")
	if err != nil {
		return router.Answer{}, u.client.wrong("the address of the service is not a URL")
	}
	r := &http.Request{Method: http.MethodPost, URL: target, Host: target.Host, Header: header.Clone(), ContentLength: int64(len(body))}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", u.client.config.Service.Target+operation)
	hash := sha256.Sum256(body)
	if failed := u.sign(ctx, r, hex.EncodeToString(hash[:])); failed != nil {
		return router.Answer{}, failed
	}
	return u.do(ctx, router.Request{Op: op, Method: r.Method, Path: "/", Header: r.Header, Body: body, Answer: u.client.config.Service.Answer, Into: u.Into})
}

// do makes a signed request. References to certificates are asked for again after a fault of TLS: what they give may have been rotated.
func (u *Use) do(ctx context.Context, r router.Request) (router.Answer, *router.Error) {
	r.Values = u.Values
	a, failed := u.http.Do(ctx, r)
	if failed != nil && failed.IsTLS {
		u.client.config.Options.Invalidate(u.Values, u.client.config.Service.tlsNames().Credentials()...)
	}
	return a, failed
}

// sign signs a request whose body has the hash, with AWS's time as far as it is known.
func (u *Use) sign(ctx context.Context, r *http.Request, hash string) *router.Error {
	now := time.Now().Add(time.Duration(u.client.skew.Load()))
	if err := u.client.signer.SignHTTP(ctx, u.creds, r, hash, u.client.config.Service.Name, u.Region, now); err != nil {
		return u.client.wrong("the request cannot be signed")
	}
	return nil
}

// leastSkew is how far two clocks may be apart that count as equal: AWS takes signatures of five minutes.
const leastSkew = time.Minute

// learnTime takes AWS's time from an answer. It reports whether that is another than the one that was used.
func (c *Client) learnTime(a *router.Answer) bool {
	at, err := http.ParseTime(a.Header.Get("Date"))
	if err != nil {
		return false
	}
	skew := time.Until(at)
	if d := skew - time.Duration(c.skew.Load()); d > -leastSkew && d < leastSkew {
		return false
	}
	c.skew.Store(int64(skew))
	return true
}
