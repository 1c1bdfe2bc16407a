package awsconf

import (
	"context"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fault"
)

// containerCredentials is where the ECS agent serves the credentials of tasks.
const containerCredentials = "http://169.254.170.2"

// Identity is as whom AWS is called. The zero value is the host.
type Identity struct {
	Role config.Role // assumed by the host; no RoleARN means none
	Path string      // of credentials at the ECS agent's endpoint, in place of the host's; "" = none
}

// RoleAccount returns the account of the identity's role; "" = it has no role.
func (i Identity) RoleAccount() string {
	if arn := strings.Split(i.Role.RoleARN, ":"); len(arn) == 6 {
		return arn[4]
	}
	return ""
}

// maxIdentities bounds for how many paths of the ECS agent credentials are kept: containers name them.
const maxIdentities = 1000

// config is Config for any identity.
func (s *Session) config(ctx context.Context, region string, as Identity) (aws.Config, error) {
	if as.Path == "" {
		return s.Config(ctx, region, as.Role)
	}
	cfg, err := s.load(ctx)
	if err != nil {
		return aws.Config{}, err
	}
	cfg.Region = region
	creds, err := s.agentCredentials(as.Path).Retrieve(ctx)
	if err != nil {
		return aws.Config{}, &fault.Error{Kind: fault.NoCredentials, Op: "get AWS credentials from the ECS agent", Err: err, Cause: trimCause(err),
			Hint: "its endpoint answers on a host of ECS alone"}
	}
	cfg.Credentials = static(creds)
	return cfg, nil
}

// agentCredentials asks the ECS agent, never through a proxy: its address is that of this host.
func (s *Session) agentCredentials(path string) *aws.CredentialsCache {
	s.mu.Lock()
	defer s.mu.Unlock()
	provider, ok := s.agent[path]
	if !ok {
		if len(s.agent) >= maxIdentities {
			clear(s.agent)
		}
		client := awshttp.NewBuildableClient().WithTimeout(answerTimeout).WithDialerOptions(dialOptions).WithTransportOptions(func(t *http.Transport) {
			t.Proxy, t.MaxResponseHeaderBytes = nil, maxHeader
		})
		provider = aws.NewCredentialsCache(endpointcreds.New(s.agentURL+path, func(o *endpointcreds.Options) {
			o.HTTPClient = client
			o.APIOptions = append(o.APIOptions, boundAnswers)
		}))
		s.agent[path] = provider
	}
	return provider
}

// Refused tells the session that AWS has refused credentials of an identity. If they are still those that it gives, the next use
// gets new ones, from files too.
func (s *Session) Refused(as Identity, refused aws.Credentials) {
	s.mu.Lock()
	defer s.mu.Unlock()
	given, known := s.given[as]
	if known && (given.AccessKeyID != refused.AccessKeyID || given.SessionToken != refused.SessionToken) {
		return // somebody else has told already
	}
	delete(s.given, as)
	delete(s.accounts, as)
	switch {
	case as.Path != "":
		delete(s.agent, as.Path)
	case as.Role.RoleARN != "":
		delete(s.roles, as.Role)
	default:
		s.base.Store(nil)
		clear(s.roles) // they were assumed with what was refused
	}
}

// Account returns the account of an identity: that of the role, or what STS says of the credentials, which it is asked once.
func (s *Session) Account(ctx context.Context, as Identity) (string, error) {
	if known := s.KnownAccount(as); known != "" {
		return known, nil
	}
	select { // one question at a time: the second finds the answer to the first
	case s.asking <- struct{}{}:
		defer func() { <-s.asking }()
	case <-ctx.Done():
		return "", &fault.Error{Kind: fault.Unreachable, Op: "ask STS for the account of the credentials", Cause: "it was given up"}
	}
	if known := s.KnownAccount(as); known != "" {
		return known, nil
	}
	region, err := s.Region(ctx)
	if err != nil {
		return "", err
	}
	cfg, err := s.config(ctx, region, as)
	if err != nil {
		return "", err
	}
	out, err := sts.NewFromConfig(cfg, s.stsOptions(ctx)).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		e := &fault.Error{Op: "ask STS for the account of the credentials", Err: err}
		Classify(ctx, e, err)
		e.Hint = strings.TrimPrefix(e.Hint+s.stsHint(), "; ")
		return "", e
	}
	account := aws.ToString(out.Account)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.accounts) >= maxIdentities {
		clear(s.accounts)
	}
	s.accounts[as] = account
	return account, nil
}

// KnownAccount is Account without a question; "" = it is not known yet.
func (s *Session) KnownAccount(as Identity) string {
	if account := as.RoleAccount(); account != "" {
		return account
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accounts[as]
}

// remember notes which credentials an identity has been given last, for Refused.
func (s *Session) remember(as Identity, creds aws.Credentials) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.given) >= maxIdentities {
		clear(s.given)
	}
	s.given[as] = creds
}
