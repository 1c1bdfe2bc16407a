package awsconf

import (
	"context"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"github.com/secretref/secretref/shared/config"
)

// S3 is how S3 is reached. Its requests are made without a client of the SDK.
type S3 struct {
	Client          *http.Client // with the time limits, proxy and CA bundle of the session; it follows no redirect
	Endpoint        string       // in place of the public one; "" = that
	FIPS, Dualstack bool         // which public one
	UserAgent       string
	Retryer         aws.Retryer
	Credentials     aws.Credentials
}

// S3 returns how S3 is reached from a region as role; see Config.
func (s *Session) S3(ctx context.Context, region string, role config.Role) (S3, error) {
	cfg, err := s.Config(ctx, region, role)
	if err != nil {
		return S3{}, err
	}
	creds, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return S3{}, err
	}
	endpoint := s.endpoint(ctx, "S3")
	if endpoint == "" {
		endpoint = aws.ToString(cfg.BaseEndpoint)
	}
	return S3{
		Client: s.plainClient(cfg), Endpoint: endpoint, UserAgent: s.program, Retryer: cfg.Retryer(), Credentials: creds,
		FIPS: usesFIPS(ctx, cfg), Dualstack: usesDualstack(ctx, cfg),
	}, nil
}

// plainClient returns one client for the life of the session, so that connections are used again.
func (s *Session) plainClient(cfg aws.Config) *http.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.plain == nil {
		// A custom CA bundle has made a new one of the client that was given to the SDK.
		s.plain = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		if c, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok {
			s.plain.Transport = c.GetTransport()
		}
	}
	return s.plain
}

func usesFIPS(ctx context.Context, cfg aws.Config) bool {
	for _, source := range cfg.ConfigSources {
		if p, ok := source.(interface {
			GetUseFIPSEndpoint(ctx context.Context) (aws.FIPSEndpointState, bool, error)
		}); ok {
			if state, found, err := p.GetUseFIPSEndpoint(ctx); err == nil && found {
				return state == aws.FIPSEndpointStateEnabled
			}
		}
	}
	return false
}

func usesDualstack(ctx context.Context, cfg aws.Config) bool {
	for _, source := range cfg.ConfigSources {
		if p, ok := source.(interface {
			GetUseDualStackEndpoint(ctx context.Context) (aws.DualStackEndpointState, bool, error)
		}); ok {
			if state, found, err := p.GetUseDualStackEndpoint(ctx); err == nil && found {
				return state == aws.DualStackEndpointStateEnabled
			}
		}
	}
	return false
}
