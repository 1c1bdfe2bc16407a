// Package credhelper answers Docker's credential helper protocol from references in the configuration.
//
// The helper is two programs with this package in both. docker-credential-secretref is what clients run: it links no
// AWS SDK, so that an answer from the cache costs about as much as starting a process. What the cache does not have it
// hands over to secretref-resolve, by exec, in the same process; that one has a Fetcher and asks AWS.
package credhelper

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/docker/docker-credential-helpers/credentials"

	"github.com/secretref/secretref/credhelper/delegate"
	"github.com/secretref/secretref/credhelper/payload"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/hostcache"
	"github.com/secretref/secretref/shared/registryhost"
	"github.com/secretref/secretref/shared/secret"
	"github.com/secretref/secretref/shared/secretref"
)

// Fetcher asks AWS. Its errors are *fault.Error.
type Fetcher interface {
	// Fetch returns the text that answers for t, and how long it may be kept. The text has been read as credentials
	// once, so that what a cache keeps can be used.
	Fetch(ctx context.Context, t Target) (hostcache.Fetched, error)
}

// Helper is the credentials.Helper.
type Helper struct {
	// The protocol's interface has no context: this one carries the deadline of the whole run.
	ctx      context.Context
	cfg      *config.Config
	getenv   func(string) string
	cache    *hostcache.Cache
	fetcher  Fetcher           // nil in the front program
	handOver func() error      // of the whole run, for a nil fetcher; returns only when it could not
	debug    func(text string) // takes a decision; nil means that none is wanted
}

// decided passes a decision on.
func (h *Helper) decided(parts ...string) {
	if h.debug != nil {
		h.debug(strings.Join(parts, ""))
	}
}

var _ credentials.Helper = (*Helper)(nil)

// Get returns the user name and password for a registry.
func (h *Helper) Get(serverURL string) (string, string, error) { return h.get(serverURL, serverURL) }

// get is Get. Another helper is asked for theirs.
func (h *Helper) get(serverURL, theirs string) (string, string, error) {
	t, err := find(h.cfg, serverURL)
	if err != nil {
		h.decided("get: ", err.Error())
		return "", "", err
	}
	if h.debug != nil {
		h.decided("get: registry ", t.Name.String(), " is answered from ", t.Source())
	}
	if t.Helper != "" {
		d, err := h.delegate(t)
		if err != nil {
			return "", "", err
		}
		c, err := d.Get(h.ctx, theirs)
		return c.Username, c.Secret.Reveal(), wrap(t, err)
	}
	c, err := h.credentials(t)
	return c.Username, c.Secret.Reveal(), wrap(t, err)
}

func (h *Helper) credentials(t Target) (payload.Credentials, error) {
	cache, key := h.cacheOf(t), t.key(h.cfg, h.getenv)
	if a, ok := cache.Lookup(key); ok {
		h.decided("cache: it has an answer, AWS is not asked")
		if a.Err != nil {
			return payload.Credentials{}, a.Err
		}
		return t.credentials(a.Payload)
	}
	h.decided("cache: no answer ", cache.Disabled())
	if h.fetcher == nil {
		h.decided("hand over to secretref-resolve, which asks AWS")
		return payload.Credentials{}, h.handOver()
	}
	a, err := cache.Do(h.ctx, key, func(ctx context.Context) (hostcache.Fetched, error) { return h.fetcher.Fetch(ctx, t) })
	if err != nil {
		h.decided("AWS: ", err.Error())
		return payload.Credentials{}, err
	}
	if a.Stale {
		h.decided("AWS: ", a.StaleErr.Error(), "; an older value stands in")
	}
	h.decided("the value has the version ", a.VersionID)
	return t.credentials(a.Payload)
}

// cacheOf returns the cache for what t gives; nil = none. With a ttl of 0 there is none: processes would take turns for
// nothing. A token of ECR brings its own end.
func (h *Helper) cacheOf(t Target) *hostcache.Cache {
	if h.cfg.Cache.Store == config.StoreOff || t.ECR == nil && h.cfg.Cache.Policy.TTL == 0 {
		return nil
	}
	return h.cache
}

// Add is the protocol's store. docker login stores what it was given, also when it was given it by Get: that is a
// success without effect. Other credentials belong in the secret, not on this host.
func (h *Helper) Add(c *credentials.Credentials) error {
	t, err := find(h.cfg, c.ServerURL)
	switch {
	case credentials.IsErrCredentialsNotFound(err):
		name, err := registryhost.Normalize(c.ServerURL)
		if err != nil {
			return errors.New("this key is not a registry, and nothing is stored on this host; name another helper under [registries.\"*\"] in " + config.SystemFile)
		}
		return fmt.Errorf("registry %s is not mapped, and credentials are not stored on this host: "+
			"name its secret under [registries.%q] in %s, or name another helper under [registries.\"*\"]", name, name.Host, config.SystemFile)
	case err != nil:
		return err
	case t.Helper != "":
		d, err := h.delegate(t)
		if err != nil {
			return err
		}
		return wrap(t, d.Store(h.ctx, c.ServerURL, c.Username, secret.New(c.Secret)))
	}
	resolved, err := h.credentials(t)
	if err != nil {
		return wrap(t, err)
	}
	if resolved.Username == c.Username && resolved.Secret.Equal(secret.New(c.Secret)) {
		return nil
	}
	return wrap(t, fmt.Errorf("these are not the credentials of %s, which answers for this registry; %s", t.Source(), howToChange(t)))
}

func howToChange(t Target) string {
	switch {
	case t.ECR != nil:
		return "docker login is not needed here"
	case t.Ref.Service == secretref.SSM:
		return "change them there (aws ssm put-parameter --overwrite)"
	case t.Ref.Service == secretref.S3:
		return "change them there (aws s3 cp)"
	}
	return "change them there (aws secretsmanager put-secret-value)"
}

// Delete is the protocol's erase: what is cached for the registry goes, so that the next Get asks AWS; also what was kept
// before the cache was switched off, and what rules for a part of its repositories have given. It succeeds also when
// there was nothing, because podman takes any error for a failed logout.
func (h *Helper) Delete(serverURL string) error {
	t, err := find(h.cfg, serverURL)
	if name, nerr := normalize(serverURL); nerr == nil {
		for _, part := range findPaths(h.cfg, name) {
			err := h.cache.EraseGroup(part.key(h.cfg, h.getenv).Group)
			if err != nil {
				return wrap(part, err)
			}
		}
	}
	if err != nil {
		return nil // nothing else of it is kept here
	}
	if t.Helper == "" {
		return wrap(t, h.cache.EraseGroup(t.key(h.cfg, h.getenv).Group))
	}
	d, err := h.delegate(t)
	if err != nil {
		return err
	}
	err = d.Erase(h.ctx, serverURL)
	if errors.Is(err, delegate.ErrNotFound) {
		return nil
	}
	return wrap(t, err)
}

// List returns the exact hosts that are answered for. The user name is not known without asking AWS, unless the
// configuration has it; clients that list ask again for each host.
func (h *Helper) List() (map[string]string, error) {
	all := map[string]string{}
	for _, r := range h.cfg.Registries {
		if !r.Pattern.IsExact() || r.Pattern.HasPath() || r.Helper != "" {
			continue
		}
		key := r.Pattern.Host()
		if key == registryhost.Hub {
			key = registryhost.HubKey
		}
		switch {
		case r.Username != "":
			all[key] = r.Username
		case r.ECR:
			all[key] = "AWS"
		default:
			all[key] = "(by reference)"
		}
	}
	return all, nil
}

// delegate returns the helper that answers for t: one level deep, so that two helpers which name each other end.
func (h *Helper) delegate(t Target) (*delegate.Helper, error) {
	if delegate.Nested(h.getenv) {
		return nil, wrap(t, fmt.Errorf("helper %q of %s has called this program again; name a helper that answers by itself", t.Helper, t.Rule.Origin))
	}
	d, err := delegate.Find(t.Helper)
	return d, wrap(t, err)
}

func wrap(t Target, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, delegate.ErrNotFound), credentials.IsErrCredentialsNotFound(err):
		return credentials.NewErrCredentialsNotFound()
	case t.Name.Host == "": // a key that is not a registry; the helper's error says enough
		return err
	}
	return fmt.Errorf("registry %s: %w", t.Name, err)
}
