package taskdef

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/firelens"
	"github.com/secretref/secretref/shared/iampolicy"
	"github.com/secretref/secretref/shared/secretref"
)

// Plan is what an Input becomes here.
type Plan struct {
	Kind         string
	Destinations []Destination
	Registries   []RegistryRule
	Stores       []Store  // values in clear that are to be stored first
	Notes        []string // what a person should know
	Refused      []string // what cannot be moved, with the reason
	Policy       iampolicy.Policy
}

// Destination is a named destination, and who uses it.
type Destination struct {
	Name       string
	Container  string
	Options    map[string]string // with logDriver, without those that are references
	References map[string]string // option to valueFrom
}

// RegistryRule is a rule of the credential helper.
type RegistryRule struct{ Host, CredentialsParameter string }

// Store is a value that stands in clear in the Input. It is not kept here.
type Store struct {
	Parameter string // the name under which it is to be stored
	IsSecret  bool   // it is to be a secret of Secrets Manager, and not a parameter
	What      string // where it stands
	Form      string // what to type, where that is not the value alone; "" = the value
}

// NewPlan makes a plan of what was read. The options are held against kinds.
func NewPlan(in Input, kinds []router.Kind) *Plan {
	p := &Plan{Kind: in.Kind, Notes: slices.Clone(in.Notes)}
	rules := &options.Rules{Kinds: kinds, AllowRoles: []string{"*"}} // they become destinations of the host's own configuration, which may name any
	for _, c := range in.Containers {
		p.addLogs(c, rules)
		p.addImage(c)
	}
	for _, r := range in.Registries {
		s := Store{IsSecret: true, Parameter: "secretref/registries/" + r.Host, What: "the password of " + r.Host + " in ECS_ENGINE_AUTH_DATA", Form: `{"username":"USER","password":"PASSWORD"}`}
		p.Stores = append(p.Stores, s)
		p.addRegistry(r.Host, s.Parameter)
	}
	return p
}

func (p *Plan) addImage(c Container) {
	if c.Credentials == "" {
		return
	}
	host, _, found := strings.Cut(c.Image, "/")
	if !found || !strings.ContainsAny(host, ".:") && host != "localhost" {
		host = "docker.io"
	}
	p.addRegistry(host, c.Credentials)
}

func (p *Plan) addRegistry(host, parameter string) {
	ref, err := secretref.ParseCredentialsParameter(parameter)
	if err != nil {
		p.Refused = append(p.Refused, "registry "+host+": "+err.Error())
		return
	}
	for _, r := range p.Registries {
		if r.Host == host {
			if r.CredentialsParameter != parameter {
				p.Refused = append(p.Refused, "registry "+host+" has two credentialsParameters; there is one rule for a registry, so write one for each repository")
			}
			return
		}
	}
	p.Registries = append(p.Registries, RegistryRule{host, parameter})
	p.Policy.Add(ref, "")
}

var notName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// addLogs makes a destination of a container's log options.
func (p *Plan) addLogs(c Container, rules *options.Rules) {
	switch {
	case c.LogDriver == "":
		p.Notes = append(p.Notes, c.Name+" says nothing of its logs, and keeps the default of the Docker daemon")
		return
	case !slices.ContainsFunc(rules.Kinds, func(k router.Kind) bool { return k.Name == c.LogDriver }):
		p.Notes = append(p.Notes, c.Name+" uses the log driver "+c.LogDriver+", which is Docker's own; it stays as it is")
		return
	}
	d := Destination{Name: strings.Trim(notName.ReplaceAllString(c.Name, "-"), "-._"), Container: c.Name, Options: maps.Clone(c.Options), References: maps.Clone(c.Secrets)}
	if d.Name == "" {
		d.Name = "app"
	}
	d.Options["logDriver"] = c.LogDriver
	maps.DeleteFunc(d.Options, func(_, value string) bool { return value == "" })
	for _, other := range p.Destinations {
		if other.Name == d.Name {
			p.Refused = append(p.Refused, c.Name+": there is a destination of that name already; rename one of the containers")
			return
		}
	}
	o, err := rules.Parse(d.given(), info())
	if err == nil {
		p.hide(&d, o, rules)
	}
	if varying := slices.DeleteFunc(slices.Sorted(maps.Keys(c.Variables)), func(name string) bool { _, kept := d.Options[name]; return !kept }); len(varying) > 0 {
		p.Refused = append(p.Refused, c.Name+": compose replaces variables in "+strings.Join(varying, ", ")+"; import what `docker compose config` prints")
		return
	}
	if err != nil {
		p.Refused = append(p.Refused, c.Name+": "+err.Error())
		return
	}
	if o, err = rules.Parse(d.given(), info()); err != nil {
		p.Refused = append(p.Refused, c.Name+": "+err.Error())
		return
	}
	for _, note := range o.Notes {
		p.Notes = append(p.Notes, c.Name+": "+note)
	}
	for _, name := range slices.Sorted(maps.Keys(o.References)) {
		p.Policy.Add(o.References[name], "")
	}
	_, permissions, err := rules.Permissions(d.given())
	if err != nil {
		p.Refused = append(p.Refused, c.Name+": "+err.Error())
		return
	}
	for _, x := range permissions {
		p.Policy.Allow(x.Action, x.Resource)
	}
	p.Destinations = append(p.Destinations, d)
}

func info() options.Info {
	return options.Info{ContainerID: strings.Repeat("0", 64), ContainerName: "/import"}
}

// given are the log options that a container would have.
func (d *Destination) given() map[string]string {
	all := maps.Clone(d.Options)
	for name, ref := range d.References {
		all["secretOptions."+name] = ref
	}
	return all
}

// hide puts references in the place of values that are or may be secrets. o is what the options mean.
func (p *Plan) hide(d *Destination, o options.Options, rules *options.Rules) {
	changed := slices.ContainsFunc(slices.Collect(maps.Keys(d.Options)), func(name string) bool {
		return hasUser(d.Options[name]) || d.Options["logDriver"] != o.Router && firelens.InAddress(name, d.Options[name])
	})
	if changed {
		d.native(o) // the password is an option of its own there, and an address can be a reference
	}
	for _, name := range slices.Sorted(maps.Keys(d.Options)) {
		value := d.Options[name]
		option, form, secret := name, "", false
		if d.Options["logDriver"] == o.Router {
			for _, k := range rules.Kinds {
				x := k.Option(name)
				secret = secret || k.Name == o.Router && x != nil && (x.Credential || x.Address && firelens.HasToken(value))
				if changed && x != nil && x.Address {
					form = "the whole address, with scheme, host and path"
				}
			}
		} else {
			option, form, secret = firelens.Secret(name, value)
		}
		if !secret {
			continue
		}
		parameter := "/secretref/" + d.Name + "/" + strings.Trim(notName.ReplaceAllString(option, "-"), "-._")
		delete(d.Options, name)
		d.References[option] = parameter
		p.Stores = append(p.Stores, Store{Parameter: parameter, What: "the option " + firstWord(name) + " of " + d.Container, Form: form})
	}
}

// native changes d to the options of the router that serves it.
func (d *Destination) native(o options.Options) {
	d.Options, d.References = maps.Clone(o.Plain), map[string]string{}
	d.Options["logDriver"] = o.Router
	for name, ref := range o.References {
		d.References[name] = ref.String()
	}
	if o.Tag != "" {
		d.Options["tag"] = "{{.Name}}-firelens-{{.ID}}"
	}
}

// hasUser reports whether a value is a URL with a password in it.
func hasUser(value string) bool {
	u, err := url.Parse(value)
	return err == nil && u.User != nil
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}

// Parts lists what Write can write; all together are the default.
func Parts() []string { return []string{"destinations", "registries", "compose", "run", "policy"} }
