package credhelper

import (
	"fmt"
	"time"

	"github.com/docker/docker-credential-helpers/credentials"

	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/hostcache"
)

// explain says which rule answers for a host, and what is cached, without asking anybody.
func (p Program) explain(args []string) int {
	if len(args) != 1 {
		return p.complain(fmt.Errorf("explain takes one host; %w", errUsage))
	}
	cfg, err := config.Load(config.Paths(p.Getenv))
	if err != nil {
		return p.complain(err)
	}
	t, err := find(cfg, args[0])
	if credentials.IsErrCredentialsNotFound(err) {
		return p.explainUnmapped(cfg, args[0])
	}
	if err != nil {
		return p.complain(err)
	}
	p.report("registry:      " + t.Name.String())
	if t.Rule != nil {
		p.report(fmt.Sprintf("rule:          [registries.%q] in %s", t.Rule.Pattern, t.Rule.Origin))
	} else {
		p.report("rule:          [ecr]")
	}
	p.report("answered from: " + t.Source())
	if t.Helper != "" {
		return exitOK
	}
	if t.Username != "" {
		p.report("username:      " + t.Username)
	}
	p.report("region:        " + orElse(t.region(), "from the environment or the instance metadata service"))
	p.report("role:          " + orElse(t.Role.RoleARN, "the host's own"))
	p.report("cache:         " + p.cacheState(cfg, t))
	return exitOK
}

func (p Program) explainUnmapped(cfg *config.Config, host string) int {
	answer := "not found: clients go on without credentials"
	if cfg.NotFound == config.NotFoundAnonymous {
		answer = "an empty user name: clients go on without credentials"
	}
	p.report("registry:      " + host)
	p.report("rule:          none in " + list(cfg.Files, "any file, none was found"))
	p.report("answer:        " + answer)
	if name, err := normalize(host); err == nil {
		for _, r := range sorted(cfg.Registries) {
			if r.Pattern.HasPath() && r.Pattern.MatchHost(name) {
				p.report(fmt.Sprintf("note:          [registries.%q] in %s has a path; docker sends the host alone, crane and ko send both", r.Pattern, r.Origin))
			}
		}
	}
	return exitOK
}

func (p Program) cacheState(cfg *config.Config, t Target) string {
	if cfg.Cache.Store == config.StoreOff {
		return "off by configuration"
	}
	cache := hostcache.Open(hostcache.Options{})
	if reason := cache.Disabled(); reason != "" {
		return "off, " + reason
	}
	e, ok := cache.Peek(t.key(cfg, p.Getenv))
	now := time.Now()
	switch {
	case !ok:
		return "nothing kept"
	case e.Err != nil:
		return fmt.Sprintf("a failure of kind %s, for %v more", e.Err.Kind, left(e.Window.Fresh, now))
	case e.Stale:
		return fmt.Sprintf("a value%s, %v old, which stands in while AWS does not answer, for %v more: %v", version(e.VersionID), left(now, e.Read), left(e.Window.End, now), e.StaleErr)
	case e.Window.IsFresh(now):
		return fmt.Sprintf("a value%s, %v old, used for %v more", version(e.VersionID), left(now, e.Read), left(e.Window.Fresh, now))
	}
	return fmt.Sprintf("a value%s, %v old, only used while AWS does not answer, for %v more", version(e.VersionID), left(now, e.Read), left(e.Window.End, now))
}

func left(later, earlier time.Time) time.Duration { return later.Sub(earlier).Round(time.Second) }

func orElse(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
