// Package fetch is the credential helper's way to AWS. Only secretref-resolve links it.
package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/secretref/secretref/credhelper"
	"github.com/secretref/secretref/credhelper/notice"
	"github.com/secretref/secretref/credhelper/payload"
	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/hostcache"
	"github.com/secretref/secretref/shared/resolve"
	"github.com/secretref/secretref/shared/secret"
	"github.com/secretref/secretref/shared/ttl"
)

// Fetcher is a credhelper.Fetcher that asks AWS each time; what it returns is kept by the cache of the host.
type Fetcher struct {
	session  *awsconf.Session
	resolver *resolve.Resolver
	policy   ttl.Policy
}

var _ credhelper.Fetcher = (*Fetcher)(nil)

// New returns a Fetcher for a configuration. It asks nobody yet. The environment names the log for the audit lines.
func New(cfg *config.Config, version string, getenv func(string) string) *Fetcher {
	session := awsconf.New(cfg.AWS, credhelper.Name, version)
	var audit func(resolve.Access)
	if cfg.AWS.Audit {
		socket := credhelper.SyslogSocket(getenv)
		audit = func(a resolve.Access) {
			notice.Send(socket, notice.Line{Program: credhelper.Name, Action: "audit", Registry: a.For, Text: a.String(), Info: true})
		}
	}
	return &Fetcher{
		session: session,
		// Less than what a run has, so that a call which gets no answer ends in time to say who did not give it.
		resolver: resolve.New(session, resolve.Options{Timeout: cfg.AWS.Timeout * 7 / 10, Audit: audit}),
		policy:   cfg.Cache.Policy,
	}
}

// Fetch reads the target's reference or gets its ECR token.
func (f *Fetcher) Fetch(ctx context.Context, t credhelper.Target) (hostcache.Fetched, error) {
	if t.ECR != nil {
		return f.token(ctx, t)
	}
	r := f.resolver.Resolve(ctx, resolve.Request{Ref: t.Ref, Region: t.Region, Role: t.Role, For: t.Name.Host})[0]
	if r.Err != nil {
		return hostcache.Fetched{}, r.Err
	}
	// A secret without credentials is a failure to be remembered, not a value to be kept.
	if _, err := payload.Parse(r.Value, t.Name.Host, t.Username); err != nil {
		return hostcache.Fetched{}, f.named(ctx, t, err)
	}
	return hostcache.Fetched{Payload: r.Value, VersionID: r.VersionID, Window: f.policy.Value(time.Now())}, nil
}

// named says in err which secret it was, where, and who read it.
func (f *Fetcher) named(ctx context.Context, t credhelper.Target, err error) error {
	var e *fault.Error
	if !errors.As(err, &e) {
		return err
	}
	e.Op, e.Role = "read "+t.Source(), t.Role.RoleARN
	if t.Ref.Region == "" {
		if e.Region = t.Region; e.Region == "" {
			e.Region, _ = f.session.Region(ctx) // it was known a moment ago; without it the rest is as true
		}
	}
	return err
}

// token returns an ECR token in the shape of a secret with user name and password.
func (f *Fetcher) token(ctx context.Context, t credhelper.Target) (hostcache.Fetched, error) {
	token, err := f.resolver.ECRToken(ctx, resolve.ECRRequest{
		Host: t.Name.Host, Region: t.ECR.Region, Public: t.ECR.Public,
		FIPS: t.ECR.FIPS, DualStack: t.ECR.DualStack, Role: t.Role,
	})
	if err != nil {
		return hostcache.Fetched{}, err
	}
	text, err := json.Marshal(map[string]string{"username": token.Username, "password": token.Password.Reveal()})
	if err != nil {
		return hostcache.Fetched{}, err
	}
	return hostcache.Fetched{Payload: secret.New(string(text)), Window: ttl.Until(time.Now(), token.Expires)}, nil
}
