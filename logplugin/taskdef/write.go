package taskdef

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/secretref/secretref/logplugin/jsontext"
)

// CheckPart returns an error for a part that Write cannot write. "" is all of them.
func CheckPart(part string) error {
	if part == "" || slices.Contains(Parts(), part) {
		return nil
	}
	return fmt.Errorf("%q is not a part; write one of %s", part, strings.Join(Parts(), ", "))
}

// Write writes the plan: one of Parts, or all with what is to be done first. format is that of the policy.
func (p *Plan) Write(w io.Writer, part, format string) error {
	var b bytes.Buffer
	parts := map[string]func(*bytes.Buffer) error{
		"destinations": p.destinations, "registries": p.registries, "compose": p.compose, "run": p.run,
		"policy": func(b *bytes.Buffer) error { return p.Policy.Write(b, format) },
	}
	switch write := parts[part]; {
	case part == "":
		p.first(&b)
		heads := map[string]string{
			"destinations": "# In /etc/secretref/config.toml, for the log driver", "registries": "# In /etc/secretref/config.toml, for the credential helper",
			"compose": "# In the compose file", "run": "# Or for docker run", "policy": "# The IAM policy that the references need",
		}
		for _, name := range Parts() {
			var text bytes.Buffer
			if err := parts[name](&text); err != nil {
				return err
			}
			if text.Len() > 0 && (name != "policy" || !p.Policy.IsEmpty()) {
				fmt.Fprintf(&b, "%s\n\n%s\n", heads[name], text.String())
			}
		}
	case write == nil:
		return CheckPart(part)
	default:
		if err := write(&b); err != nil {
			return err
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// first says what a person has to do or to know.
func (p *Plan) first(b *bytes.Buffer) {
	for _, note := range p.Notes {
		fmt.Fprintf(b, "# note: %s\n", note)
	}
	for _, refused := range p.Refused {
		fmt.Fprintf(b, "# not moved: %s\n", refused)
	}
	for i, s := range p.Stores {
		if i == 0 {
			b.WriteString("\n# These values stand in clear. Store them first; each command reads one value from standard input:\n")
		}
		form := s.Form
		if form == "" {
			form = "the value"
		}
		store := "aws ssm put-parameter --type SecureString --name " + s.Parameter + " --value file:///dev/stdin"
		if s.IsSecret {
			store = "aws secretsmanager create-secret --name " + s.Parameter + " --secret-string file:///dev/stdin"
		}
		fmt.Fprintf(b, "# %s: type %s, then Ctrl-D twice\n%s\n", s.What, form, store)
	}
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
}

func (p *Plan) destinations(b *bytes.Buffer) error {
	if p.Kind == "daemon.json" && len(p.Destinations) > 0 {
		fmt.Fprintf(b, "[logs]\ndefault_destination = %s\n\n", toml(p.Destinations[0].Name))
	}
	for _, d := range p.Destinations {
		fmt.Fprintf(b, "[logs.destinations.%s]\n", toml(d.Name))
		for _, name := range slices.Sorted(maps.Keys(d.Options)) {
			fmt.Fprintf(b, "%s = %s\n", toml(name), toml(d.Options[name]))
		}
		for _, name := range slices.Sorted(maps.Keys(d.References)) {
			fmt.Fprintf(b, "\n[[logs.destinations.%s.secretOptions]]\nname = %s\nvalueFrom = %s\n", toml(d.Name), toml(name), toml(d.References[name]))
		}
		b.WriteByte('\n')
	}
	return nil
}

func (p *Plan) registries(b *bytes.Buffer) error {
	for _, r := range p.Registries {
		fmt.Fprintf(b, "[registries.%s]\ncredentialsParameter = %s\n\n", toml(r.Host), toml(r.CredentialsParameter))
	}
	return nil
}

func (p *Plan) compose(b *bytes.Buffer) error {
	if p.Kind == "daemon.json" || len(p.Destinations) == 0 {
		return nil
	}
	b.WriteString("services:\n")
	for _, d := range p.Destinations {
		fmt.Fprintf(b, "  %s:\n    logging:\n      driver: secretref\n      options:\n        destination: %s\n", toml(d.Container), toml(d.Name))
	}
	return nil
}

func (p *Plan) run(b *bytes.Buffer) error {
	if p.Kind == "daemon.json" && len(p.Destinations) > 0 {
		b.WriteString("# in daemon.json, and nothing else of the logs: \"log-driver\": \"secretref\"\n")
		return nil
	}
	for _, d := range p.Destinations {
		fmt.Fprintf(b, "# %s\n--log-driver secretref --log-opt destination=%s\n", d.Container, d.Name)
	}
	return nil
}

// toml writes a text as TOML, and as YAML.
func toml(s string) string { return string(jsontext.AppendString(nil, []byte(s))) }
