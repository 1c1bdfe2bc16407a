package credhelper

import (
	"fmt"
	"time"

	"github.com/docker/docker-credential-helpers/credentials"

	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/hostcache"
)

// explain says which rule answers for a host, what is cached, and which clients ask, without asking anybody.
func (p Program) explain(args []string) int {
	c, _ := findCommand("explain")
	given, hosts, err := c.parse(args)
	if err == nil && len(hosts) != 1 {
		err = c.misused(fmt.Sprintf("it takes one host, and %d are given", len(hosts)))
	}
	if err != nil {
		return p.complain(err)
	}
	l, err := p.lookAt(given)
	if err != nil {
		return p.complain(err)
	}
	cfg, err := config.Load(l.paths)
	if err != nil {
		return p.complain(err)
	}
	r, err := p.explained(cfg, l, registryOfImage(hosts[0]))
	if err != nil {
		return p.complain(err)
	}
	if l.json {
		p.printJSON(r)
	} else {
		p.printExplain(r)
	}
	return exitOK
}

func (p Program) explained(cfg *config.Config, l lookAt, host string) (explainReport, error) {
	t, err := find(cfg, host)
	if credentials.IsErrCredentialsNotFound(err) {
		return unmapped(cfg, host), nil
	}
	if err != nil {
		return explainReport{}, err
	}
	r := explainReport{Version: 1, Registry: t.Name.String(), Rule: "[ecr]", Source: t.Source(), Username: t.Username}
	if t.Rule != nil {
		r.Rule = fmt.Sprintf("[registries.%q] in %s", t.Rule.Pattern, t.Rule.Origin)
	}
	if t.Helper == "" {
		r.Region = orElse(t.region(), "from the environment or the instance metadata service")
		r.Role = orElse(t.Role.RoleARN, "the host's own")
		r.Profile, r.Credentials = awsProfile(cfg, l.Getenv)
		r.Cache = p.cacheState(cfg, t)
	}
	found := l.program()
	r.Helper, r.Clients = &found, l.clients(t)
	return r, nil
}

func unmapped(cfg *config.Config, host string) explainReport {
	r := explainReport{
		Version: 1, Registry: host, Rule: "none in " + list(cfg.Files, "any file, none was found"),
		Answer: "not found: clients go on without credentials",
	}
	if cfg.NotFound == config.NotFoundAnonymous {
		r.Answer = "an empty user name: clients go on without credentials"
	}
	name, err := normalize(host)
	if err != nil {
		return r
	}
	for _, rule := range sorted(cfg.Registries) {
		if rule.Pattern.HasPath() && rule.Pattern.MatchHost(name) {
			r.Notes = append(r.Notes, fmt.Sprintf("[registries.%q] in %s has a path; docker sends the host alone, crane and ko send both", rule.Pattern, rule.Origin))
		}
	}
	r.Notes = append(r.Notes, nearRules(cfg, host)...)
	return r
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
