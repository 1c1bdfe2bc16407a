package credhelper

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/docker/docker-credential-helpers/credentials"

	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/hostcache"
)

// check resolves mappings for real, past the cache, and says what came of each.
func (p Program) check(ctx context.Context, hosts []string) int {
	if p.NewFetcher == nil {
		return p.fail(p.HandOver(p.Args, nil))
	}
	cfg, err := config.Load(config.Paths(p.Getenv))
	if err != nil {
		return p.complain(err)
	}
	if len(cfg.Files) == 0 {
		return p.complain(fmt.Errorf("there is no configuration; write %s, see secretref-config(5)", config.SystemFile))
	}
	p.report("configuration: " + strings.Join(cfg.Files, ", "))
	if reason := hostcache.Open(hostcache.Options{}).Disabled(); reason != "" && cfg.Cache.Store != config.StoreOff {
		p.report("cache: off, " + reason)
	}
	if len(hosts) == 0 {
		hosts = checkable(cfg)
	}
	if len(hosts) == 0 {
		p.report("nothing to check: no exact host under [registries]; name hosts to check those that a pattern or [ecr] answers")
		return exitOK
	}
	fetcher := p.NewFetcher(cfg)
	status := exitOK
	for _, host := range hosts {
		if err := p.checkHost(ctx, cfg, fetcher, host); err != nil {
			p.report("FAILED " + err.Error())
			status = exitError
		}
	}
	return status
}

func (p Program) checkHost(ctx context.Context, cfg *config.Config, fetcher Fetcher, host string) error {
	ctx, cancel := context.WithTimeout(ctx, cfg.AWS.Timeout)
	defer cancel()
	t, err := find(cfg, host)
	if credentials.IsErrCredentialsNotFound(err) {
		return fmt.Errorf("registry %s: no rule speaks for it; name its secret under [registries] in %s", host, config.SystemFile)
	}
	if err != nil {
		return err
	}
	if t.Helper != "" {
		h := &Helper{ctx: ctx, cfg: cfg, getenv: p.Getenv}
		_, _, err := h.Get(host)
		if credentials.IsErrCredentialsNotFound(err) {
			p.report(fmt.Sprintf("ok     registry %s: %s has no credentials for it", t.Name, t.Source()))
			return nil
		}
		if err == nil {
			p.report(fmt.Sprintf("ok     registry %s: credentials from %s", t.Name, t.Source()))
		}
		return err
	}
	f, err := fetcher.Fetch(ctx, t)
	if err != nil {
		return wrap(t, err)
	}
	c, err := t.credentials(f.Payload)
	if err != nil {
		return wrap(t, err)
	}
	p.report(fmt.Sprintf("ok     registry %s: credentials from %s%s%s", t.Name, t.Source(), version(f.VersionID), as(t)))
	if c.LineEnding {
		p.report(fmt.Sprintf("warning: registry %s: the password in %s has a line ending at its end, which is left out; store it without one", t.Name, t.Source()))
	}
	return nil
}

// checkable returns the hosts that can be asked for without knowing more than the configuration.
func checkable(cfg *config.Config) []string {
	var hosts []string
	for _, r := range sorted(cfg.Registries) {
		if r.Pattern.IsExact() {
			hosts = append(hosts, r.Pattern.String())
		}
	}
	return hosts
}

func version(id string) string {
	if id == "" {
		return ""
	}
	return " version " + id
}

func as(t Target) string {
	if t.Role.RoleARN == "" {
		return ""
	}
	return " as " + t.Role.RoleARN
}

func list(s []string, none string) string {
	if len(s) == 0 {
		return none
	}
	return strings.Join(s, ", ")
}

func (p Program) report(line string) { fmt.Fprintln(p.Stdout, fault.OneLine(line)) }

// complain is fail for the commands of people: they see both streams, so the text goes to one.
func (p Program) complain(err error) int {
	fmt.Fprintln(p.Stderr, Name+": "+fault.OneLine(err.Error()))
	if errors.Is(err, errUsage) {
		return exitUsage
	}
	return exitError
}

var errUsage = errors.New("see --help")
