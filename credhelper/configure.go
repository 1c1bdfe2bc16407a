package credhelper

import (
	"errors"
	"fmt"
	"strings"

	"github.com/secretref/secretref/credhelper/configure"
	"github.com/secretref/secretref/shared/config"
)

// configure writes the rules' exact hosts into the configuration of a client.
func (p Program) configure(args []string) int {
	c, _ := findCommand("configure")
	given, rest, err := c.parse(args)
	switch {
	case err != nil:
		return p.complain(err)
	case len(rest) == 0:
		return p.complain(c.misused("name a client, docker or podman"))
	case rest[0] != "docker" && rest[0] != "podman":
		return p.complain(c.misused(printable(rest[0]) + " is not a client that is known" + didYouMean("", rest[0], []string{"docker", "podman"})))
	case len(rest) > 1:
		return p.complain(c.misused(printable(rest[1]) + " is not understood; the hosts are those of the rules in the configuration"))
	}
	var o configure.Options
	_, o.All = given["all"]
	_, o.Undo = given["undo"]
	_, o.DryRun = given["dry-run"]
	cfg, err := config.Load(config.Paths(p.Getenv))
	if err != nil {
		return p.complain(err)
	}
	o.Getenv = p.Getenv
	var withPath []string
	for _, r := range cfg.Registries {
		switch {
		case r.Pattern.IsAny():
			o.AnyHelper = r.Helper
		case r.Pattern.HasPath():
			withPath = append(withPath, fmt.Sprintf("[registries.%q]", r.Pattern))
		case r.Pattern.IsExact():
			o.Hosts = append(o.Hosts, r.Pattern.Host())
		}
	}
	if err := nothingToConfigure(cfg, o); err != nil {
		return p.complain(err)
	}
	write := configure.Docker
	if rest[0] == "podman" {
		write = configure.Podman
	}
	result, err := write(o)
	if err != nil {
		return p.complain(err)
	}
	fmt.Fprint(p.Stdout, result)
	if len(withPath) > 0 && !o.All && !o.Undo {
		// In credHelpers the whole host would be taken from its login, and the helper still be asked without the path.
		p.report("note: left out is what has a path, " + strings.Join(withPath, ", ") + "; with --all, clients that send paths are answered")
	}
	return exitOK
}

// nothingToConfigure is the error for a configuration by which no client would ask for anything.
func nothingToConfigure(cfg *config.Config, o configure.Options) error {
	switch {
	case o.Undo:
		return nil
	case len(cfg.Registries) == 0 && !cfg.ECR.Enabled:
		return fmt.Errorf("configure: no registry has a rule in %s; name one under [registries] in %s first, see secretref-config(5)",
			list(cfg.Files, "any file, since there is none"), config.SystemFile)
	case len(o.Hosts) == 0 && !o.All:
		return errors.New("configure: no exact host stands under [registries], so there is nothing to write; with --all the helper is asked for every registry, also those that a pattern or [ecr] answers")
	}
	return nil
}
