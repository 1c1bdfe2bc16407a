// Package awsconf turns the [aws] table of the configuration into AWS SDK configurations: region, credentials, assumed
// roles, endpoints, proxy, CA bundle and time limits, the same for both programs.
//
// It promises that nothing waits longer than the caller's context allows, that credentials are had before a service is
// called (so that no retry loop runs inside another), and that a failing instance metadata service (IMDS) is told apart
// in seconds and in words. Errors are *fault.Error.
package awsconf

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"

	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/proxy"
	"github.com/secretref/secretref/shared/safefile"
)

// Time limits of one attempt. The whole is bounded by the caller's context; these leave room in the default of 10 s for
// a second attempt after a hung first one.
const (
	dialTimeout   = 3 * time.Second
	answerTimeout = 4 * time.Second
	maxAttempts   = 3
	maxBackoff    = 500 * time.Millisecond // three attempts that are throttled end in time to say so, also with a short timeout
)

// maxBundle is the largest CA bundle in bytes; that of a distribution has a quarter of a MiB.
const maxBundle = 4 << 20

// Session makes SDK configurations. It is safe for concurrent use and keeps credentials until they expire.
type Session struct {
	aws      config.AWS
	program  string
	imds     *imdsClient
	agentURL string                     // of the ECS agent
	loadOnce sync.Mutex                 // one load at a time
	base     atomic.Pointer[aws.Config] // loaded at first use, and again after Refused
	asking   chan struct{}              // holds the one that asks STS for an account

	mu       sync.Mutex
	roles    map[config.Role]*aws.CredentialsCache
	agent    map[string]*aws.CredentialsCache // by path
	given    map[Identity]aws.Credentials     // last
	accounts map[Identity]string
	region   string       // that IMDS has said; "" = it was not asked
	plain    *http.Client // made at first use
}

// New returns a Session for the [aws] table. The program's name and version go into the user agent and into the
// session name of assumed roles. It reads no file and calls no service.
func New(settings config.AWS, program, version string) *Session {
	settings.HTTPSProxy = strings.TrimSpace(settings.HTTPSProxy)
	return &Session{
		aws:     settings,
		program: program + "/" + version,
		imds:    newIMDSClient(),
		roles:   map[config.Role]*aws.CredentialsCache{},

		agentURL: containerCredentials, asking: make(chan struct{}, 1),
		agent: map[string]*aws.CredentialsCache{}, given: map[Identity]aws.Credentials{}, accounts: map[Identity]string{},
	}
}

// Config returns an SDK configuration for a region whose credentials, those of role or, without one, the host's own,
// have been fetched already.
func (s *Session) Config(ctx context.Context, region string, role config.Role) (aws.Config, error) {
	cfg, err := s.load(ctx)
	if err != nil {
		return aws.Config{}, err
	}
	cfg.Region = region
	host, err := s.retrieve(ctx, cfg.Credentials)
	if err != nil {
		return aws.Config{}, err
	}
	if role.RoleARN == "" {
		cfg.Credentials = static(host)
		return cfg, nil
	}
	assumed, err := s.assume(ctx, cfg, role)
	if err != nil {
		return aws.Config{}, err
	}
	cfg.Credentials = static(assumed)
	return cfg, nil
}

// Region returns the region for references that name none: [aws] region, then the environment and the shared
// configuration of AWS, then IMDS.
func (s *Session) Region(ctx context.Context) (string, error) {
	if known, err := s.KnownRegion(ctx); known != "" || err != nil {
		return known, err
	}
	region, err := s.imds.region(ctx)
	if err != nil {
		return "", &fault.Error{Kind: fault.KindOf(err), Op: "find the AWS region in the instance metadata service", Err: err, Cause: cause(err),
			Hint: "set region under [aws], or name the secret by its ARN"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.region = region
	return region, nil
}

// KnownRegion is Region without the network; "" = it is not known yet.
func (s *Session) KnownRegion(ctx context.Context) (string, error) {
	if s.aws.Region != "" {
		return s.aws.Region, nil
	}
	cfg, err := s.load(ctx)
	if err != nil || cfg.Region != "" {
		return cfg.Region, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.region, nil
}

func (s *Session) load(ctx context.Context) (aws.Config, error) {
	s.loadOnce.Lock()
	defer s.loadOnce.Unlock()
	if base := s.base.Load(); base != nil {
		return base.Copy(), nil
	}
	options, err := s.options()
	if err != nil {
		return aws.Config{}, err
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return aws.Config{}, &fault.Error{Kind: fault.NoCredentials, Op: "read the AWS configuration", Err: err,
			Cause: trimCause(err), Hint: "see profile under [aws], AWS_PROFILE and ~/.aws/config"}
	}
	// The SDK reads AWS_ENDPOINT_URL and its service variants by itself; our own setting is one endpoint for all.
	if s.aws.EndpointURL != "" {
		cfg.BaseEndpoint = aws.String(s.aws.EndpointURL)
	}
	s.base.Store(&cfg)
	return cfg.Copy(), nil
}

func (s *Session) options() ([]func(*awsconfig.LoadOptions) error, error) {
	name, version, _ := strings.Cut(s.program, "/")
	o := []func(*awsconfig.LoadOptions) error{
		awsconfig.WithHTTPClient(s.httpClient()),
		awsconfig.WithLogger(logging.Nop{}), // it would write to standard error, which belongs to the protocol
		awsconfig.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = maxAttempts, maxBackoff })
		}),
		awsconfig.WithAPIOptions([]func(*middleware.Stack) error{awsmiddleware.AddUserAgentKeyValue(name, version), boundAnswers}),
		awsconfig.WithEC2RoleCredentialOptions(func(o *ec2rolecreds.Options) { o.Client = s.imds.client }),
	}
	o = append(o, s.endpointOptions()...)
	if s.aws.Region != "" {
		o = append(o, awsconfig.WithRegion(s.aws.Region))
	}
	if s.aws.Profile != "" {
		o = append(o, awsconfig.WithSharedConfigProfile(s.aws.Profile))
	}
	if s.aws.UseFIPS {
		o = append(o, awsconfig.WithUseFIPSEndpoint(aws.FIPSEndpointStateEnabled))
	}
	if s.aws.UseDualstack {
		o = append(o, awsconfig.WithUseDualStackEndpoint(aws.DualStackEndpointStateEnabled))
	}
	if s.aws.CABundle != "" {
		pem, err := safefile.Read(s.aws.CABundle, safefile.Options{Max: maxBundle})
		if err != nil {
			return nil, &fault.Error{Kind: fault.BadReference, Op: "read the CA bundle " + s.aws.CABundle, Err: err,
				Cause: trimCause(err), Hint: "see ca_bundle under [aws]"}
		}
		o = append(o, awsconfig.WithCustomCABundle(bytes.NewReader(pem.Data)))
	}
	return o, nil
}

func (s *Session) httpClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.ResponseHeaderTimeout, t.TLSHandshakeTimeout = answerTimeout, dialTimeout
		t.MaxResponseHeaderBytes = maxHeader
		t.Proxy, t.OnProxyConnectResponse = s.proxy(), s.refusedByProxy
	}).WithDialerOptions(dialOptions)
}

// refusedByProxy says what a proxy answers to CONNECT. Its own words are left out: net/http would give those as the error.
func (s *Session) refusedByProxy(_ context.Context, _ *url.URL, _ *http.Request, res *http.Response) error {
	if res.StatusCode == http.StatusOK {
		return nil
	}
	e := &fault.Error{Kind: fault.Unreachable, Cause: strings.TrimSpace(fmt.Sprintf("the proxy answers %d %s", res.StatusCode, http.StatusText(res.StatusCode)))}
	switch {
	case res.StatusCode == http.StatusProxyAuthRequired:
		e.Hint = proxy.LoginHint(cmp.Or(s.ProxySetting(), proxy.Variable("https"))) // requests with https alone make tunnels
	case res.StatusCode < http.StatusInternalServerError:
		e.Hint = "allow the endpoints of AWS at the proxy, or put them into NO_PROXY, or into no_proxy under [aws]"
	default:
		e.Hint = "the proxy does not reach AWS"
	}
	return e
}

// ProxySetting names the setting of the [aws] table that gives the proxy; "" = there is none, and the environment says.
func (s *Session) ProxySetting() string {
	if s.aws.HTTPSProxy == "" {
		return ""
	}
	return proxy.Configured
}

// proxy follows HTTPS_PROXY and NO_PROXY of the environment, or the [aws] table where that names a proxy: sudo and
// systemd drop the environment.
func (s *Session) proxy() proxy.Chooser {
	choose := proxy.FromEnvironment()
	if s.aws.HTTPSProxy != "" {
		choose = proxy.Fixed(s.aws.HTTPSProxy, s.aws.NoProxy)
	}
	return func(r *http.Request) (*url.URL, error) {
		u, err := choose(r)
		var unread *proxy.Error
		if errors.As(err, &unread) {
			err = &fault.Error{Kind: fault.Unreachable, Cause: unread.Error(), Hint: proxy.Hint}
		}
		return u, err
	}
}

func (s *Session) assume(ctx context.Context, cfg aws.Config, role config.Role) (aws.Credentials, error) {
	if cfg.Region == "" {
		return aws.Credentials{}, &fault.Error{Kind: fault.BadReference, Op: "assume role " + role.RoleARN,
			Cause: "no region is known for STS", Hint: "set region under [aws]"}
	}
	s.mu.Lock()
	provider, ok := s.roles[role]
	if !ok {
		provider = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg, s.stsOptions(ctx)), role.RoleARN,
			func(o *stscreds.AssumeRoleOptions) {
				o.RoleSessionName = sessionName(s.program)
				if role.ExternalID != "" {
					o.ExternalID = aws.String(role.ExternalID)
				}
			}))
		s.roles[role] = provider
	}
	s.mu.Unlock()
	creds, err := provider.Retrieve(ctx)
	if err != nil {
		return creds, s.assumeError(ctx, role, err)
	}
	return creds, nil
}

// retrieve has the host's own credentials.
func (s *Session) retrieve(ctx context.Context, provider aws.CredentialsProvider) (aws.Credentials, error) {
	if provider == nil {
		provider = aws.AnonymousCredentials{}
	}
	ctx, cancel := timeToDiagnose(ctx)
	defer cancel()
	creds, err := provider.Retrieve(ctx)
	if err == nil {
		return creds, nil
	}
	var fe *fault.Error
	if errors.As(err, &fe) {
		return creds, fe
	}
	return creds, s.credentialsError(ctx, provider, err)
}

func static(c aws.Credentials) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return c, nil })
}

// sessionName makes program@host out of letters that STS allows (at most 64), so that CloudTrail shows both.
func sessionName(program string) string {
	name, _, _ := strings.Cut(program, "/")
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	s := strings.Map(func(c rune) rune {
		if c < 0x80 && (c == '_' || strings.ContainsRune("+=,.@-", c) || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') {
			return c
		}
		return '-'
	}, name+"@"+host)
	return s[:min(len(s), 64)]
}
