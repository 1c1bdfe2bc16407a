// Package logplugin is the log driver: what the command secretref-logdriver does.
package logplugin

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
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

// Program is one run.
type Program struct {
	Args           []string
	Stdin          io.Reader // of import -
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	Environ        []string // as os.Environ
	Version        string
	DaemonConfig   string           // of the Docker daemon, for check and configure; "" means /etc/docker/daemon.json
	Runtime        string           // for configure; "" means secretref-runtime beside this program
	RuntimeSocket  string           // for configure; "" means the socket of secretref-runtime.socket
	Reload         <-chan os.Signal // asks serve to read its configuration again; nil means never
	Opened         func()           // serve calls it once all log pipes of an earlier process are open; nil means nobody wants to know
}

// flags are those of all commands; each reads its own.
type flags struct {
	config, stateDir string // all but version and help
	sockets          socketFlags
	volumeDir        string // serve; "" = values_dir and volumes_dir
	logLevel         slog.Level
	logFormat        logFormat // "" is text
	json, watch      bool      // status
	forget           forgetFlags
	id               string
	check            checkFlags
	configure        configureFlags
	output           outputFlags
}

// socketFlags are those of serve: where the daemon and secretref-runtime ask. Sockets that systemd passes win.
type socketFlags struct {
	logs    string
	volumes string // "" = no volumes
	runtime string // "" = secretref-runtime cannot ask
}

// checkFlags are those of check.
type checkFlags struct {
	logOpts, volumeOpts map[string]string
	send                bool
}

// outputFlags are those of import and iam-policy; "" is all parts, and the first format.
type outputFlags struct{ part, format string }

// forgetFlags are those of forget.
type forgetFlags struct{ discard, force, ended, volume bool }

// Run carries out one command, until it is done or ctx ends, and returns the exit status.
func Run(ctx context.Context, p Program) int {
	if len(p.Args) == 0 {
		fmt.Fprint(p.Stderr, p.usage())
		return exitUsage
	}
	c, err := find(p.Args[0])
	if err != nil {
		fmt.Fprintf(p.Stderr, "%s: %v\n", Name, err)
		return exitUsage
	}
	f, err := p.flags(c, p.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(p.Stdout, p.usageOf(c))
		return exitOK
	case err != nil:
		fmt.Fprintf(p.Stderr, "%s: %v; see %s %s --help\n", Name, err, Name, c.name)
		return exitUsage
	}
	err = c.run(p, ctx, f)
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
	_, err := io.WriteString(p.Stdout, p.usage())
	return err
}

// addTo returns a function that adds NAME=VALUE to options.
func addTo(options map[string]string) func(text string) error {
	return func(text string) error {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return errors.New("it is not NAME=VALUE") // the text may be a secret
		}
		if _, twice := options[name]; twice {
			return fmt.Errorf("%s is given twice", name)
		}
		options[name] = value
		return nil
	}
}

// oneSocket reports whether the daemon asks for logs and volumes on the same socket, as it does with a managed plugin.
func (f flags) oneSocket() bool {
	return f.sockets.volumes != "" && f.sockets.volumes == f.sockets.logs
}

func (p Program) load(f flags) (*config.Config, error) {
	cfg, err := config.Load(p.sources(f))
	if err == nil {
		f.override(cfg)
	}
	return cfg, err
}

// override changes what the options of the command line say in place of the configuration.
func (f flags) override(cfg *config.Config) {
	if f.stateDir != "" {
		cfg.Logs.StateDir = f.stateDir
	}
	if f.volumeDir != "" {
		cfg.Secrets.ValuesDir, cfg.Secrets.VolumesDir = f.volumeDir, f.volumeDir
	}
}

// fallback is the configuration where load fails. A container whose log nobody reads stands still soon, and so does the
// daemon, which waits for an answer when it is to start or stop one.
func (p Program) fallback(f flags) *config.Config {
	cfg := config.Fallback(p.sources(f))
	f.override(cfg)
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
