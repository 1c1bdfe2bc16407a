// Package logplugin is the log driver: what the command secretref-logdriver does.
package logplugin

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/secretref/secretref/logplugin/api"
	"github.com/secretref/secretref/logplugin/session"
	"github.com/secretref/secretref/logplugin/state"
	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/resolve"
)

// Name is the program.
const Name = "secretref-logdriver"

// Exit statuses.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

const statusSocket = "status.sock"

const usage = `Usage: secretref-logdriver COMMAND

A Docker log driver that takes its log router's credentials by reference (docker run --log-driver secretref).

  serve      answer the daemon, in the foreground; logs to standard error
      --socket PATH      where the daemon looks (default /run/docker/plugins/secretref.sock); a socket of systemd wins
      --state-dir DIR    sessions and spool (default: state_dir under [logs])
      --config FILE      in place of /etc/secretref/config.toml and its drop-ins
  status     one line for each container's log
      --state-dir DIR    of the driver that is asked
      --json             the same for programs
  version    print the version
  help       print this
`

// Program is one run.
type Program struct {
	Args           []string
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	Version        string
}

// flags are those of all commands; each reads its own.
type flags struct {
	socket, stateDir, config string
	json                     bool
}

// Run carries out one command, until it is done or ctx ends, and returns the exit status.
func Run(ctx context.Context, p Program) int {
	if len(p.Args) == 0 {
		fmt.Fprint(p.Stderr, usage)
		return exitUsage
	}
	command := p.Args[0]
	f, err := p.flags(command, p.Args[1:])
	if err != nil {
		fmt.Fprintf(p.Stderr, "%s: %v; see --help\n", Name, err)
		return exitUsage
	}
	switch command {
	case "serve":
		err = p.serve(ctx, f)
	case "status":
		err = p.status(ctx, f)
	case "version", "--version", "-v":
		fmt.Fprintf(p.Stdout, "%s (github.com/secretref/secretref) %s\n", Name, p.Version)
	case "help", "--help", "-h":
		fmt.Fprint(p.Stdout, usage)
	default:
		fmt.Fprintf(p.Stderr, "%s: unknown command %q; see --help\n", Name, command)
		return exitUsage
	}
	if err != nil {
		fmt.Fprintf(p.Stderr, "%s: %v\n", Name, err)
		return exitError
	}
	return exitOK
}

func (p Program) flags(command string, args []string) (flags, error) {
	var f flags
	set := flag.NewFlagSet(command, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	if command == "serve" || command == "status" {
		set.StringVar(&f.stateDir, "state-dir", "", "")
		set.StringVar(&f.config, "config", p.Getenv("SECRETREF_CONFIG"), "")
	}
	if command == "serve" {
		set.StringVar(&f.socket, "socket", "/run/docker/plugins/secretref.sock", "")
	}
	if command == "status" {
		set.BoolVar(&f.json, "json", false, "")
	}
	if err := set.Parse(args); err != nil {
		return f, fmt.Errorf("%s: %w", command, err)
	}
	if set.NArg() > 0 {
		return f, fmt.Errorf("%s: %q is too much", command, set.Arg(0))
	}
	return f, nil
}

func (p Program) load(f flags) (*config.Config, error) {
	o := config.Paths(p.Getenv)
	o.SystemOnly, o.OnlyFile = true, f.config
	cfg, err := config.Load(o)
	if err == nil && f.stateDir != "" {
		cfg.Logs.StateDir = f.stateDir
	}
	return cfg, err
}

// serve listens before all else: a daemon that starts at the same time waits half a second for the socket.
func (p Program) serve(ctx context.Context, f flags) error {
	listener, err := api.Listen(f.socket)
	if err != nil {
		return err
	}
	defer listener.Close()
	log := slog.New(slog.NewTextHandler(p.Stderr, nil))
	cfg, err := p.load(f)
	if err != nil {
		return err
	}
	dir, err := state.Open(ctx, cfg.Logs.StateDir)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	resolver := resolve.New(awsconf.New(cfg.AWS, Name, p.Version), resolve.Options{Policy: cfg.Cache.Policy, Timeout: cfg.AWS.Timeout})
	// Not closed: its calls would hold up the end for as long as one may take, and nobody waits for them any more.
	sessions, err := session.New(session.Config{State: dir, Config: cfg, Resolver: resolver, Kinds: Routers(), Log: log})
	if err != nil {
		return err
	}
	if cfg.Logs.AllowReferences == nil {
		log.Warn("a container may name any reference that this host can read: set allow_references under [logs]")
	}
	if err := sessions.Attach(); err != nil {
		return errors.Join(err, sessions.Close())
	}
	stop, err := serveStatus(filepath.Join(dir.Path(), statusSocket), sessions)
	if err != nil {
		return errors.Join(err, sessions.Close())
	}
	err = api.New(sessions, api.Options{Logger: log}).Serve(ctx, listener)
	return errors.Join(err, stop(), sessions.Close())
}

// serveStatus answers `status` on a socket in the state directory, which is the owner's alone.
func serveStatus(path string, sessions *session.Sessions) (stop func() error, err error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	srv := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(sessions.Status())
	})}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	return func() error {
		_ = srv.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}, nil
}

func (p Program) status(ctx context.Context, f flags) error {
	cfg, err := p.load(f)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	path := filepath.Join(cfg.Logs.StateDir, statusSocket)
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://driver/status", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("no driver answers at %s: %w; does the service run?", path, errors.Unwrap(err))
	}
	defer resp.Body.Close()
	if f.json {
		_, err = io.Copy(p.Stdout, resp.Body)
		return err
	}
	var all []session.Status
	if err := json.NewDecoder(resp.Body).Decode(&all); err != nil {
		return fmt.Errorf("read the status: %w", err)
	}
	w := tabwriter.NewWriter(p.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CONTAINER\tROUTER\tSPOOL\tWAITING\tFOR\tDROPPED\tLAST ERROR")
	for _, s := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%v\t%d\t%s\n", s.ContainerName, s.Router, s.Mode, s.WaitingBytes, s.WaitingFor.Round(time.Second), s.DroppedLines, s.LastError)
	}
	return w.Flush()
}
