package credhelper

import (
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/secretref/secretref/credhelper/configure"
	"github.com/secretref/secretref/shared/config"
)

// configure writes the rules' exact hosts into the configuration of a client.
func (p Program) configure(args []string) int {
	if len(args) == 0 || (args[0] != "docker" && args[0] != "podman") {
		return p.complain(fmt.Errorf("configure takes docker or podman; %w", errUsage))
	}
	var o configure.Options
	flags := flag.NewFlagSet("configure", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&o.All, "all", false, "")
	flags.BoolVar(&o.Undo, "undo", false, "")
	flags.BoolVar(&o.DryRun, "dry-run", false, "")
	if err := flags.Parse(args[1:]); err != nil {
		return p.complain(fmt.Errorf("configure: %w; %w", err, errUsage))
	}
	if flags.NArg() > 0 {
		return p.complain(fmt.Errorf("configure: %q is too much; %w", flags.Arg(0), errUsage))
	}
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
	write := configure.Docker
	if args[0] == "podman" {
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
	if len(o.Hosts) == 0 && !o.All && !o.Undo {
		p.report("note: no exact host under [registries]; with --all the helper is asked for every registry")
	}
	return exitOK
}
