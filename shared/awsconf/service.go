package awsconf

import (
	"cmp"
	"context"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// Service is how one service is reached whose requests are made without a client of the SDK.
type Service struct {
	Client          *http.Client // with the time limits, proxy and CA bundle of the session; it follows no redirect
	Endpoint        string       // in place of the public one; "" = that
	FIPS, Dualstack bool         // which public one
	UserAgent       string
	Retryer         aws.Retryer
	Credentials     aws.Credentials
}

// Service returns how the service with that id of the SDK is reached from a region as somebody; see Config.
func (s *Session) Service(ctx context.Context, sdkID, region string, as Identity) (Service, error) {
	cfg, err := s.config(ctx, region, as)
	if err != nil {
		return Service{}, err
	}
	creds, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return Service{}, err
	}
	s.remember(as, creds)
	return Service{
		Client: s.plainClient(cfg), Endpoint: cmp.Or(s.endpoint(ctx, sdkID), aws.ToString(cfg.BaseEndpoint)),
		UserAgent: s.program, Retryer: cfg.Retryer(), Credentials: creds,
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
