package credhelper

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/docker/docker-credential-helpers/credentials"

	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/ecrhost"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/hostcache"
)

// check resolves each mapping without the cache, looks whether clients ask for it, and prints the result.
func (p Program) check(ctx context.Context, args []string) int {
	if p.NewFetcher == nil {
		return p.fail(p.HandOver(p.Args, nil))
	}
	c, _ := findCommand("check")
	given, hosts, err := c.parse(args)
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
	if len(cfg.Files) == 0 {
		return p.complain(fmt.Errorf("there is no configuration; write %s, see secretref-config(5)", config.SystemFile))
	}
	if len(hosts) == 0 {
		hosts = checkable(cfg)
	}
	r := checkReport{Version: 1, OK: true, Configuration: cfg.Files, Registries: []registryCheck{}}
	if reason := hostcache.Open(hostcache.Options{}).Disabled(); reason != "" && cfg.Cache.Store != config.StoreOff {
		r.CacheOff = reason
	}
	if !l.noClients {
		found := l.program()
		r.Helper, r.OK = &found, found.Problem == ""
	}
	show := p.showCheck(l, r, hosts)
	fetcher := p.NewFetcher(cfg)
	for _, host := range hosts {
		one := p.checkHost(ctx, cfg, fetcher, l, registryOfImage(host))
		r.Registries, r.OK = append(r.Registries, one), r.OK && one.OK
		show(one)
	}
	if l.json {
		p.printJSON(r)
	}
	if !r.OK {
		return exitError
	}
	return exitOK
}

// showCheck prints what does not depend on a registry, and returns what prints one. With --json all is printed at the end.
func (p Program) showCheck(l lookAt, r checkReport, hosts []string) func(registryCheck) {
	if l.json {
		return func(registryCheck) {}
	}
	p.report("configuration: " + strings.Join(r.Configuration, ", "))
	if r.CacheOff != "" {
		p.report("cache: off, " + r.CacheOff)
	}
	if r.Helper != nil && r.Helper.Problem != "" {
		p.report("FAILED clients cannot run this helper: " + r.Helper.Problem)
	}
	if len(hosts) == 0 {
		p.report("nothing to check: no exact host under [registries]; name hosts to check those that a pattern or [ecr] answers")
	}
	return func(one registryCheck) {
		if one.Error != "" {
			p.report("FAILED " + one.Error)
		} else {
			p.report(fmt.Sprintf("ok     registry %s: credentials from %s%s%s", one.Registry, one.Source, version(one.VersionID), as(one.Role)))
		}
		for _, w := range one.Warnings {
			p.report("warning: registry " + one.Registry + ": " + w)
		}
	}
}

// checkHost checks one registry. What AWS says comes before what clients do: without credentials it does not matter who
// asks for them.
func (p Program) checkHost(ctx context.Context, cfg *config.Config, fetcher Fetcher, l lookAt, host string) registryCheck {
	r := registryCheck{Registry: host}
	t, err := find(cfg, host)
	if credentials.IsErrCredentialsNotFound(err) {
		err = fmt.Errorf("registry %s: no rule speaks for it; %s", host, unmappedHint(cfg, host))
	}
	if err == nil {
		r.Registry, r.Source, r.Role = t.Name.String(), t.Source(), t.Role.RoleARN
		r.Clients = l.clients(t)
		err = p.resolve(ctx, cfg, fetcher, t, host, &r)
	}
	if err == nil {
		err = r.asked()
	}
	if err != nil {
		r.Error = fault.OneLine(err.Error())
	}
	r.OK = err == nil
	return r
}

// resolve asks AWS, or the other helper.
func (p Program) resolve(ctx context.Context, cfg *config.Config, fetcher Fetcher, t Target, host string, r *registryCheck) error {
	ctx, cancel := context.WithTimeout(ctx, cfg.AWS.Timeout)
	defer cancel()
	if t.Helper != "" {
		h := &Helper{ctx: ctx, cfg: cfg, getenv: p.Getenv}
		_, _, err := h.Get(host)
		if credentials.IsErrCredentialsNotFound(err) {
			r.Warnings = append(r.Warnings, t.Source()+" has no credentials for it")
			return nil
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
	r.VersionID = f.VersionID
	if c.LineEnding {
		r.Warnings = append(r.Warnings, fmt.Sprintf("the password in %s has a line ending at its end, which is left out; store it without one", t.Source()))
	}
	return nil
}

// asked returns an error when no client asks this helper for the registry, and warns when docker does not.
func (r *registryCheck) asked() error {
	var problems []string
	for _, c := range r.Clients {
		if !c.Asks {
			problems = append(problems, c.Client+": "+c.Problem)
		}
	}
	switch {
	case len(r.Clients) > 0 && len(problems) == len(r.Clients):
		return fmt.Errorf("registry %s: the credentials can be had, but no client asks for them: %s; podman, skopeo and buildah do not ask either, see explain %s",
			r.Registry, problems[0], r.Registry)
	case len(problems) > 0 && !r.Clients[0].Asks:
		r.Warnings = append(r.Warnings, problems[0])
	}
	return nil
}

// unmappedHint says what may have been meant by a registry without a rule.
func unmappedHint(cfg *config.Config, host string) string {
	if near := nearRules(cfg, host); len(near) > 0 {
		return near[0]
	}
	return "name its secret under [registries] in " + config.SystemFile
}

// nearRules are hints for a registry without a rule: one of ECR, or one whose name is close to that of a rule.
func nearRules(cfg *config.Config, host string) []string {
	name, err := normalize(host)
	if err != nil {
		return nil
	}
	var hints []string
	if _, isECR := ecrhost.Parse(name.Host); isECR && !cfg.ECR.Enabled {
		hints = append(hints, "it is a registry of Amazon ECR, which enabled = true under [ecr] answers with a token")
	}
	if !strings.ContainsAny(name.Host, ".:[") && name.Host != "localhost" {
		hints = append(hints, "docker takes a name without a dot or a port for an image of Docker Hub: name docker.io")
	}
	origins := map[string]config.Origin{}
	var known []string
	bare, _, _ := strings.Cut(name.Host, ":")
	for _, r := range sorted(cfg.Registries) {
		if r.Pattern.IsAny() || r.Pattern.HasPath() {
			continue
		}
		h := r.Pattern.Host()
		origins[h] = r.Origin
		if other, _, _ := strings.Cut(h, ":"); other == bare && h != name.Host {
			return append(hints, fmt.Sprintf("[registries.%q] in %s is the same host with another port; a rule speaks for its own port alone", h, r.Origin))
		}
		known = append(known, h)
	}
	if near := nearHost(name.Host, known); near != "" {
		hints = append(hints, fmt.Sprintf("[registries.%q] in %s is close to it; correct one of the two", near, origins[near]))
	}
	return hints
}

// registryOfImage is a host or an image as people name them: without the digest, in which an @ does not mean user info.
func registryOfImage(arg string) string {
	host, _, _ := strings.Cut(arg, "@sha256:")
	return host
}

// nearHost returns the host that differs from another in one label, and there by a letter or two.
func nearHost(host string, known []string) string {
	labels := strings.Split(host, ".")
	for _, k := range known {
		other, differ := strings.Split(k, "."), -1
		if len(other) != len(labels) {
			continue
		}
		for i := range other {
			if other[i] == labels[i] {
				continue
			}
			if differ >= 0 {
				differ = len(other)
				break
			}
			differ = i
		}
		if differ >= 0 && differ < len(other) && config.Nearest(labels[differ], []string{other[differ]}) != "" {
			return k
		}
	}
	return ""
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

func as(role string) string {
	if role == "" {
		return ""
	}
	return " as " + role
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
