package logplugin

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/secretref/secretref/shared/config"
)

// command is one of the program's.
type command struct {
	name, arg string // arg is what must follow the name; "" means nothing
	text      string // what it does, in one line
	options   []string
	run       func(Program, context.Context, flags) error
}

// option is a flag of one or more commands. Its flag.FlagSet comes from set.
type option struct {
	name, value string // value is "" for a switch
	text        string
	set         func(*flag.FlagSet, *flags)
}

// commands lists them in the order of the help.
func commands() []command {
	common := func(more ...string) []string { return append(more, "config", "state-dir") }
	return []command{
		{"serve", "", "answer the daemon, in the foreground; logs to standard error", common("socket", "volume-socket", "volume-dir", "runtime-socket", "log-level", "log-format"), Program.serve},
		{"status", "", "one line for each container's log; exit status 3 if one needs attention", common("json", "watch"), Program.status},
		{"forget", "ID", "end a session that waits for a FIFO which the daemon has leaked; ID is the first column of status",
			common("discard", "force", "ended", "volume"), Program.forget},
		{"check", "", "try the configuration, and with --log-opt or --volume-opt a container's options, references and router, without a container",
			common("log-opt", "send", "volume-opt"), Program.check},
		{"refresh", "VOLUME", "read the values of a volume again at once, or without VOLUME those of all mounted ones", common(), Program.refresh},
		{"configure", "runtime", "write secretref-runtime into daemon.json, so that containers can have --runtime secretref and variables by reference",
			[]string{"runtime", "default", "undo", "dry-run", "daemon-config", "config"}, Program.configure},
		{"routers", "NAME", "list the log routers, or the options of one with their defaults", nil, Program.routers},
		{"import", "FILE", "print what an ECS task definition, a compose file, a daemon.json or an ecs.config becomes here; - is standard input", []string{"part", "format"}, Program.importFile},
		{"iam-policy", "", "print the IAM policy that the destinations of the configuration need, or with --log-opt that of a container's options", append(common("log-opt"), "format"), Program.iamPolicy},
		{"version", "", "print the version", nil, Program.version},
		{"help", "", "print this; COMMAND --help prints the help of one command", nil, Program.help},
	}
}

// options lists them in the order of the help.
func (p Program) options() []option {
	return []option{
		{"config", "FILE", "in place of /etc/secretref/config.toml and its drop-ins",
			func(s *flag.FlagSet, f *flags) { s.StringVar(&f.config, "config", p.Getenv("SECRETREF_CONFIG"), "") }},
		{"state-dir", "DIR", "sessions and spool; default: state_dir under [logs]",
			func(s *flag.FlagSet, f *flags) { s.StringVar(&f.stateDir, "state-dir", "", "") }},
		{"socket", "PATH", "where the daemon looks; default: /run/docker/plugins/secretref.sock; a socket of systemd wins",
			func(s *flag.FlagSet, f *flags) {
				s.StringVar(&f.sockets.logs, "socket", "/run/docker/plugins/secretref.sock", "")
			}},
		{"volume-socket", "PATH", "serve volumes there, as in /run/docker/plugins/secretref-files.sock; default: none; a socket of systemd wins",
			func(s *flag.FlagSet, f *flags) { s.StringVar(&f.sockets.volumes, "volume-socket", "", "") }},
		{"volume-dir", "DIR", "tmpfs of volumes, which containers mount as well; default: values_dir and volumes_dir under [secrets]",
			func(s *flag.FlagSet, f *flags) { s.StringVar(&f.volumeDir, "volume-dir", "", "") }},
		{"runtime-socket", "PATH", "answer secretref-runtime there, as on /run/secretref/resolve.sock; default: nowhere; a socket of systemd wins",
			func(s *flag.FlagSet, f *flags) { s.StringVar(&f.sockets.runtime, "runtime-socket", "", "") }},
		{"log-level", "LEVEL", "debug, info, warn or error; default: info",
			func(s *flag.FlagSet, f *flags) { s.TextVar(&f.logLevel, "log-level", f.logLevel, "") }},
		{"log-format", "FORMAT", "text or json; default: text, for journald with its priorities",
			func(s *flag.FlagSet, f *flags) { s.TextVar(&f.logFormat, "log-format", f.logFormat, "") }},
		{"json", "", "the same for programs", func(s *flag.FlagSet, f *flags) { s.BoolVar(&f.json, "json", false, "") }},
		{"watch", "", "again every two seconds, the worst sessions first", func(s *flag.FlagSet, f *flags) { s.BoolVar(&f.watch, "watch", false, "") }},
		{"discard", "", "give up the lines that are not delivered", func(s *flag.FlagSet, f *flags) { s.BoolVar(&f.forget.discard, "discard", false, "") }},
		{"force", "", "also when the session has had lines in the last minute, or a container may have the volume", func(s *flag.FlagSet, f *flags) { s.BoolVar(&f.forget.force, "force", false, "") }},
		{"ended", "", "delete what is kept for docker logs of a container that has ended, whose id is ID, or of all without ID",
			func(s *flag.FlagSet, f *flags) { s.BoolVar(&f.forget.ended, "ended", false, "") }},
		{"volume", "", "remove a volume that the daemon has forgotten; ID is its name",
			func(s *flag.FlagSet, f *flags) { s.BoolVar(&f.forget.volume, "volume", false, "") }},
		{"log-opt", "NAME=VALUE", "as of docker run; any number of them", func(s *flag.FlagSet, f *flags) { s.Func("log-opt", "", addTo(f.check.logOpts)) }},
		{"volume-opt", "NAME=VALUE", "as of docker run --mount; any number of them", func(s *flag.FlagSet, f *flags) { s.Func("volume-opt", "", addTo(f.check.volumeOpts)) }},
		{"part", "PART", "destinations, registries, compose, run or policy alone; default: all, and what is to be done first",
			func(s *flag.FlagSet, f *flags) { s.StringVar(&f.output.part, "part", "", "") }},
		{"format", "FORMAT", "of the policy: json, terraform or cloudformation; default: json",
			func(s *flag.FlagSet, f *flags) { s.StringVar(&f.output.format, "format", "", "") }},
		{"runtime", "NAME", "the runtime that does the work behind secretref-runtime; default: runc",
			func(s *flag.FlagSet, f *flags) { s.StringVar(&f.configure.behind, "runtime", "", "") }},
		{"default", "", "also for containers that name no runtime", func(s *flag.FlagSet, f *flags) { s.BoolVar(&f.configure.asDefault, "default", false, "") }},
		{"undo", "", "take out what configure has written", func(s *flag.FlagSet, f *flags) { s.BoolVar(&f.configure.undo, "undo", false, "") }},
		{"dry-run", "", "only say what would change", func(s *flag.FlagSet, f *flags) { s.BoolVar(&f.configure.dryRun, "dry-run", false, "") }},
		{"daemon-config", "FILE", "of the Docker daemon, in place of /etc/docker/daemon.json",
			func(s *flag.FlagSet, f *flags) { s.StringVar(&f.configure.daemonConfig, "daemon-config", "", "") }},
		{"send", "", "send one marked line there, and show the answer", func(s *flag.FlagSet, f *flags) { s.BoolVar(&f.check.send, "send", false, "") }},
	}
}

// has reports whether the option is one of the command's.
func (c command) has(o option) bool {
	for _, name := range c.options {
		if name == o.name {
			return true
		}
	}
	return false
}

// usage is the help of all commands.
func (p Program) usage() string {
	var b strings.Builder
	b.WriteString("Usage: " + Name + " COMMAND\n\n" +
		"A Docker log driver that takes its log router's credentials by reference (docker run --log-driver secretref).\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-18s %s\n", strings.TrimSpace(c.name+" "+c.arg), c.text)
	}
	b.WriteString("\nOptions:\n")
	for _, o := range p.options() {
		var of []string
		for _, c := range commands() {
			if c.has(o) {
				of = append(of, c.name)
			}
		}
		b.WriteString(o.line(" (" + strings.Join(of, ", ") + ")"))
	}
	b.WriteString("\nSee " + Name + "(1), secretref-config(5).\n")
	return b.String()
}

// usageOf is the help of one command.
func (p Program) usageOf(c command) string {
	var b strings.Builder
	line, list := c.name+" "+c.arg, ""
	if len(c.options) > 0 {
		line, list = strings.TrimSpace(line)+" [OPTIONS]", "\nOptions:\n"
	}
	fmt.Fprintf(&b, "Usage: %s %s\n\n%s\n%s", Name, strings.TrimSpace(line), c.text, list)
	for _, o := range p.options() {
		if c.has(o) {
			b.WriteString(o.line(""))
		}
	}
	return b.String()
}

func (o option) line(of string) string {
	return fmt.Sprintf("  %-24s %s%s\n", strings.TrimSpace("--"+o.name+" "+o.value), o.text, of)
}

// find returns the command of a name; -h and its like are commands too.
func find(name string) (command, error) {
	switch name {
	case "-h", "--help":
		name = "help"
	case "-v", "--version":
		name = "version"
	}
	var names []string
	for _, c := range commands() {
		if c.name == name {
			return c, nil
		}
		names = append(names, c.name)
	}
	return command{}, fmt.Errorf("unknown command %q%s; see --help", name, didYouMean("", name, names))
}

func didYouMean(dashes, name string, known []string) string {
	if near := config.Nearest(name, known); near != "" {
		return "; did you mean " + dashes + near + "?"
	}
	return ""
}

// flags parses what follows the command.
func (p Program) flags(c command, args []string) (flags, error) {
	f := flags{check: checkFlags{logOpts: map[string]string{}, volumeOpts: map[string]string{}}}
	set := flag.NewFlagSet(c.name, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	for _, o := range p.options() {
		if c.has(o) {
			o.set(set, &f)
		}
	}
	err := parse(set, c, args)
	if err == nil && c.arg != "" {
		if f.id = set.Arg(0); f.id != "" {
			err = parse(set, c, set.Args()[1:]) // options may stand behind it
		}
		switch {
		case err != nil:
		case c.name == "forget":
			err = f.forget.check(f.id)
		case c.name == "configure":
			err = f.configure.check(f.id)
		}
	}
	if err != nil {
		return f, err
	}
	if set.NArg() > 0 {
		return f, fmt.Errorf("%s: %q is too much", c.name, set.Arg(0))
	}
	return f, nil
}

// check refuses what does not go together.
func (f forgetFlags) check(id string) error {
	switch {
	case f.ended && f.volume:
		return errors.New("forget: --ended and --volume exclude each other")
	case id == "" && f.volume:
		return errors.New("forget: which volume? status shows their names")
	case id == "" && !f.ended:
		return errors.New("forget: which session? status shows them in its first column")
	}
	return nil
}

// parse names the option that was meant, if one is unknown.
func parse(set *flag.FlagSet, c command, args []string) error {
	err := set.Parse(args)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return err
	}
	if name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); ok {
		name = strings.TrimPrefix(name, "-")
		return fmt.Errorf("%s: unknown option --%s%s", c.name, name, didYouMean("--", name, c.options))
	}
	return fmt.Errorf("%s: %w", c.name, err)
}
