package credhelper

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/secretref/secretref/credhelper/configure"
)

// clientReport is what one client does for a registry. In JSON it is an element of "clients".
type clientReport struct {
	Client  string `json:"client"`
	Asks    bool   `json:"asks"`              // it asks this helper
	File    string `json:"file,omitempty"`    // what decides that
	Key     string `json:"key,omitempty"`     // the entry in it
	Problem string `json:"problem,omitempty"` // why it does not ask, and what to do
}

// clients looks at what clients do for a registry.
func (l lookAt) clients(t Target) []clientReport {
	if l.noClients {
		return nil
	}
	var all []clientReport
	for _, c := range configure.Look(l.User, t.Name.Host, t.Rule == nil || !t.Rule.Pattern.IsExact() || t.Rule.Pattern.HasPath()) {
		all = append(all, clientReport{c.Name, c.Asks, c.File, c.Key, c.Problem})
	}
	return all
}

func (c clientReport) String() string {
	if c.Asks {
		return "asks, by " + c.Key + " in " + c.File
	}
	return "does not ask: " + c.Problem
}

// programReport is how clients find this helper.
type programReport struct {
	Path    string `json:"path,omitempty"`
	Problem string `json:"problem,omitempty"`
}

// program looks for this helper as clients do.
func (l lookAt) program() programReport {
	path, problem := configure.Program(l.Getenv("PATH"))
	return programReport{path, problem}
}

// checkReport is the answer of check --json. Version changes when a field changes its meaning or goes.
type checkReport struct {
	Version       int             `json:"version"` // 1
	OK            bool            `json:"ok"`      // the exit status is 0
	Configuration []string        `json:"configuration"`
	CacheOff      string          `json:"cache_off,omitempty"` // why nothing is kept
	Helper        *programReport  `json:"helper,omitempty"`    // not with --no-clients
	Registries    []registryCheck `json:"registries"`
}

// registryCheck is one registry of a checkReport.
type registryCheck struct {
	Registry  string         `json:"registry"`
	OK        bool           `json:"ok"`
	Source    string         `json:"source,omitempty"` // the reference, in words
	VersionID string         `json:"version_id,omitempty"`
	Role      string         `json:"role,omitempty"`
	Error     string         `json:"error,omitempty"` // why it is not ok
	Warnings  []string       `json:"warnings,omitempty"`
	Clients   []clientReport `json:"clients,omitempty"`
}

// explainReport is the answer of explain --json.
type explainReport struct {
	Version     int            `json:"version"` // 1
	Registry    string         `json:"registry"`
	Rule        string         `json:"rule,omitempty"` // "" when no rule answers
	Answer      string         `json:"answer,omitempty"`
	Source      string         `json:"source,omitempty"`
	Username    string         `json:"username,omitempty"` // the rule's
	Region      string         `json:"region,omitempty"`
	Role        string         `json:"role,omitempty"`
	Profile     string         `json:"profile,omitempty"`
	Credentials string         `json:"credentials,omitempty"`
	Cache       string         `json:"cache,omitempty"`
	Helper      *programReport `json:"helper,omitempty"`
	Clients     []clientReport `json:"clients,omitempty"`
	Notes       []string       `json:"notes,omitempty"`
}

// printJSON writes one object.
func (p Program) printJSON(v any) {
	enc := json.NewEncoder(p.Stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v) // structs of strings, and a reader that has gone needs no answer
}

// printExplain writes an explanation as lines.
func (p Program) printExplain(r explainReport) {
	line := func(name, value string) {
		if value != "" {
			p.report(fmt.Sprintf("%-14s %s", name+":", value))
		}
	}
	line("registry", r.Registry)
	line("rule", r.Rule)
	line("answer", r.Answer)
	line("answered from", r.Source)
	line("username", r.Username)
	line("region", r.Region)
	line("role", r.Role)
	line("profile", r.Profile)
	line("credentials", r.Credentials)
	line("cache", r.Cache)
	if r.Helper != nil {
		line("helper", r.Helper.Path+r.Helper.Problem)
	}
	for _, c := range r.Clients {
		name, _, _ := strings.Cut(c.Client, ",")
		line(name, c.String())
	}
	for _, n := range r.Notes {
		line("note", n)
	}
}
