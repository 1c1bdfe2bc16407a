// Package logplugin is the log driver: what the command secretref-logdriver does.
package logplugin

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/secretref/secretref/logplugin/control"
	"github.com/secretref/secretref/shared/config"
)

// Name is the program.
const Name = "secretref-logdriver"

// Exit statuses.
const (
	exitOK        = 0
	exitError     = 1
	exitUsage     = 2
	exitAttention = 3 // of status: somebody should look
)

const usage = `Usage: secretref-logdriver COMMAND

A Docker log driver that takes its log router's credentials by reference (docker run --log-driver secretref).

  serve         answer the daemon, in the foreground; logs to standard error
  status        one line for each container's log; exit status 3 if one needs attention
  forget ID     end a session that waits for a FIFO which the daemon has leaked; ID is the first column of status
  check         try the configuration, and with --log-opt a container's options, references and router, without a container
  version       print the version
  help          print this

Options of serve, status, forget and check:
  --config FILE      in place of /etc/secretref/config.toml and its drop-ins
  --state-dir DIR    sessions and spool; default: state_dir under [logs]
Option of serve:
  --socket PATH      where the daemon looks; default: /run/docker/plugins/secretref.sock; a socket of systemd wins
Options of status:
  --json             the same for programs
  --watch            again every two seconds, until it is stopped
Options of forget:
  --discard          give up the lines that are not delivered
  --force            also when the session has had lines in the last minute
Options of check:
  --log-opt NAME=VALUE    as of docker run; any number of them
  --send             send one marked line there, and show the answer

See secretref-logdriver(1), secretref-config(5).
`

// Program is one run.
type Program struct {
	Args           []string
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	Environ        []string // as os.Environ
	Version        string
}

// flags are those of all commands; each reads its own.
type flags struct {
	config, stateDir string // all but version and help
	socket           string // serve
	json, watch      bool   // status
	discard, force   bool   // forget
	id               string
	logOpts          map[string]string // check
	send             bool              // check
}

// Run carries out one command, until it is done or ctx ends, and returns the exit status.
func Run(ctx context.Context, p Program) int {
	if len(p.Args) == 0 {
		fmt.Fprint(p.Stderr, usage)
		return exitUsage
	}
	commands := map[string]func(context.Context, flags) error{
		"serve": p.serve, "status": p.status, "forget": p.forget, "check": p.check,
		"version": p.version, "--version": p.version, "-v": p.version, "help": p.help, "--help": p.help, "-h": p.help,
	}
	name := p.Args[0]
	command := commands[name]
	if command == nil {
		fmt.Fprintf(p.Stderr, "%s: unknown command %q; see --help\n", Name, name)
		return exitUsage
	}
	f, err := p.flags(name, p.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		command = p.help
	case err != nil:
		fmt.Fprintf(p.Stderr, "%s: %v; see --help\n", Name, err)
		return exitUsage
	}
	err = command(ctx, f)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(p.Stderr, "%s: %v\n", Name, err)
	if errors.As(err, new(attentionError)) {
		return exitAttention
	}
	return exitError
}

func (p Program) version(context.Context, flags) error {
	_, err := fmt.Fprintf(p.Stdout, "%s (github.com/secretref/secretref) %s\n", Name, p.Version)
	return err
}

func (p Program) help(context.Context, flags) error {
	_, err := io.WriteString(p.Stdout, usage)
	return err
}

func (p Program) flags(command string, args []string) (flags, error) {
	f := flags{logOpts: map[string]string{}}
	set := flag.NewFlagSet(command, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	switch command {
	case "serve", "status", "forget", "check":
		set.StringVar(&f.config, "config", p.Getenv("SECRETREF_CONFIG"), "")
		set.StringVar(&f.stateDir, "state-dir", "", "")
	}
	switch command {
	case "serve":
		set.StringVar(&f.socket, "socket", "/run/docker/plugins/secretref.sock", "")
	case "status":
		set.BoolVar(&f.json, "json", false, "")
		set.BoolVar(&f.watch, "watch", false, "")
	case "forget":
		set.BoolVar(&f.discard, "discard", false, "")
		set.BoolVar(&f.force, "force", false, "")
	case "check":
		set.Func("log-opt", "", f.addLogOpt)
		set.BoolVar(&f.send, "send", false, "")
	}
	err := set.Parse(args)
	if err == nil && command == "forget" {
		if f.id = set.Arg(0); f.id == "" {
			return f, errors.New("forget: which session? status shows them in its first column")
		}
		err = set.Parse(set.Args()[1:]) // options may stand behind it
	}
	if err != nil {
		return f, fmt.Errorf("%s: %w", command, err)
	}
	if set.NArg() > 0 {
		return f, fmt.Errorf("%s: %q is too much", command, set.Arg(0))
	}
	return f, nil
}

func (f *flags) addLogOpt(text string) error {
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return errors.New("it is not NAME=VALUE") // the text may be a secret
	}
	if _, twice := f.logOpts[name]; twice {
		return fmt.Errorf("%s is given twice", name)
	}
	f.logOpts[name] = value
	return nil
}

func (p Program) load(f flags) (*config.Config, error) {
	cfg, err := config.Load(p.sources(f))
	if err == nil && f.stateDir != "" {
		cfg.Logs.StateDir = f.stateDir
	}
	return cfg, err
}

// fallback is the configuration where load fails. A container whose log nobody reads stands still soon, and so does the
// daemon, which waits for an answer when it is to start or stop one.
func (p Program) fallback(f flags) *config.Config {
	cfg := config.Fallback(p.sources(f))
	if f.stateDir != "" {
		cfg.Logs.StateDir = f.stateDir
	}
	return cfg
}

// client asks the driver that runs, also one whose configuration is broken.
func (p Program) client(f flags) *control.Client {
	cfg, err := p.load(f)
	if err != nil {
		fmt.Fprintf(p.Stderr, "%s: %v\n", Name, err)
		cfg = p.fallback(f)
	}
	return control.NewClient(cfg.Logs.StateDir)
}

// sources says what the configuration consists of.
func (p Program) sources(f flags) config.Options {
	o := config.Paths(p.Getenv)
	o.SystemOnly, o.OnlyFile, o.Environ = true, f.config, p.Environ
	return o
}
