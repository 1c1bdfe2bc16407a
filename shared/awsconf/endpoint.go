package awsconf

import (
	"context"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sso"
	"github.com/aws/aws-sdk-go-v2/service/ssooidc"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// The SDK builds the clients of its credential providers before an endpoint for all services can be set on its
// configuration, and an endpoint that is set earlier would win over AWS_ENDPOINT_URL_STS. So each call of these clients is
// given its endpoint when it is made.

// endpoint returns the address of a service that credentials come from; "" = the public one. The SDK's own setting for that
// service, in the environment or in the services section of the profile, comes first.
func (s *Session) endpoint(ctx context.Context, sdkID string) string {
	var sources []any
	if base := s.base.Load(); base != nil {
		sources = base.ConfigSources
	}
	for _, source := range sources {
		if p, ok := source.(interface {
			GetIgnoreConfiguredEndpoints(ctx context.Context) (bool, bool, error)
		}); ok {
			if ignore, found, err := p.GetIgnoreConfiguredEndpoints(ctx); err == nil && found && ignore {
				break
			}
		}
		if p, ok := source.(interface {
			GetServiceBaseEndpoint(ctx context.Context, sdkID string) (string, bool, error)
		}); ok {
			if url, found, err := p.GetServiceBaseEndpoint(ctx, sdkID); err == nil && found {
				return url
			}
		}
	}
	if sdkID == sts.ServiceID && s.aws.STSEndpointURL != "" {
		return s.aws.STSEndpointURL
	}
	return s.aws.EndpointURL
}

// stsOptions sets the endpoint of a call to STS.
func (s *Session) stsOptions(ctx context.Context) func(*sts.Options) {
	return func(o *sts.Options) {
		if url := s.endpoint(ctx, sts.ServiceID); url != "" {
			o.BaseEndpoint = &url
		}
	}
}

// endpointOptions makes the SDK's credential providers use the endpoints of the [aws] table.
func (s *Session) endpointOptions() []func(*awsconfig.LoadOptions) error {
	return []func(*awsconfig.LoadOptions) error{
		awsconfig.WithAssumeRoleCredentialOptions(func(o *stscreds.AssumeRoleOptions) {
			if o.Client != nil {
				o.Client = assumeRoleClient{o.Client, s}
			}
		}),
		awsconfig.WithWebIdentityRoleCredentialOptions(func(o *stscreds.WebIdentityRoleOptions) {
			if o.Client != nil {
				o.Client = webIdentityClient{o.Client, s}
			}
		}),
		awsconfig.WithSSOProviderOptions(func(o *ssocreds.Options) { o.Client = ssoClient{o.Client, s} }),
		awsconfig.WithSSOTokenProviderOptions(func(o *ssocreds.SSOTokenProviderOptions) { o.Client = ssoTokenClient{o.Client, s} }),
	}
}

type assumeRoleClient struct {
	stscreds.AssumeRoleAPIClient
	s *Session
}

func (c assumeRoleClient) AssumeRole(ctx context.Context, in *sts.AssumeRoleInput, o ...func(*sts.Options)) (*sts.AssumeRoleOutput, error) {
	return c.AssumeRoleAPIClient.AssumeRole(ctx, in, append(o, c.s.stsOptions(ctx))...)
}

type webIdentityClient struct {
	stscreds.AssumeRoleWithWebIdentityAPIClient
	s *Session
}

func (c webIdentityClient) AssumeRoleWithWebIdentity(ctx context.Context, in *sts.AssumeRoleWithWebIdentityInput, o ...func(*sts.Options)) (*sts.AssumeRoleWithWebIdentityOutput, error) {
	return c.AssumeRoleWithWebIdentityAPIClient.AssumeRoleWithWebIdentity(ctx, in, append(o, c.s.stsOptions(ctx))...)
}

type ssoClient struct {
	ssocreds.GetRoleCredentialsAPIClient
	s *Session
}

func (c ssoClient) GetRoleCredentials(ctx context.Context, in *sso.GetRoleCredentialsInput, o ...func(*sso.Options)) (*sso.GetRoleCredentialsOutput, error) {
	return c.GetRoleCredentialsAPIClient.GetRoleCredentials(ctx, in, append(o, func(o *sso.Options) {
		if url := c.s.endpoint(ctx, sso.ServiceID); url != "" {
			o.BaseEndpoint = &url
		}
	})...)
}

type ssoTokenClient struct {
	ssocreds.CreateTokenAPIClient
	s *Session
}

func (c ssoTokenClient) CreateToken(ctx context.Context, in *ssooidc.CreateTokenInput, o ...func(*ssooidc.Options)) (*ssooidc.CreateTokenOutput, error) {
	return c.CreateTokenAPIClient.CreateToken(ctx, in, append(o, func(o *ssooidc.Options) {
		if url := c.s.endpoint(ctx, ssooidc.ServiceID); url != "" {
			o.BaseEndpoint = &url
		}
	})...)
}
