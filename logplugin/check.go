package logplugin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/secretref/secretref/logplugin/control"
	"github.com/secretref/secretref/logplugin/metrics"
	"github.com/secretref/secretref/logplugin/session"
	"github.com/secretref/secretref/logplugin/volume"
	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/safefile"
)

// findings shows what check finds, a line each, and counts what has failed.
type findings struct {
	w      io.Writer
	failed int
}

func (f *findings) say(what string, err error) {
	if err != nil {
		f.failed++
		fmt.Fprintf(f.w, "failed %s: %s\n", what, fault.OneLine(err.Error()))
		return
	}
	fmt.Fprintf(f.w, "ok     %s\n", what)
}

func (f *findings) note(text string) { fmt.Fprintf(f.w, "note   %s\n", text) }

// check tries all that can be tried without a container. The running driver does what depends on its sandbox, its
// environment and its files; without one this process does, and says so.
func (p Program) check(ctx context.Context, f flags) error {
	if f.check.send && len(f.check.logOpts) == 0 {
		return errors.New("check: --send needs --log-opt: where is the line to go?")
	}
	found := &findings{w: p.Stdout}
	cfg, err := p.load(f)
	what := "configuration"
	switch {
	case err != nil: // it names the file
	case len(cfg.Files) == 0:
		what += ": no file, so defaults"
	default:
		what += ": " + strings.Join(cfg.Files, ", ")
	}
	if found.say(what, err); err != nil {
		return errors.New("nothing more can be checked")
	}
	found.say("state directory: "+cfg.Logs.StateDir, session.CheckStateDir(cfg.Logs.StateDir))
	if cfg.Logs.AllowReferences == nil {
		found.note("a container may name any reference that this host can read: set allow_references under [logs]")
	}
	checkDaemon(found, cmp.Or(p.DaemonConfig, "/etc/docker/daemon.json"))
	if err := p.checkWith(ctx, found, cfg, f); err != nil {
		return err
	}
	if found.failed > 0 {
		return fmt.Errorf("check: failed: %d", found.failed)
	}
	return nil
}

// checkWith asks the running driver, or tries the options itself.
func (p Program) checkWith(ctx context.Context, found *findings, cfg *config.Config, f flags) error {
	client := control.NewClient(cfg.Logs.StateDir)
	report, err := client.Report(ctx)
	if err == nil {
		found.say(fmt.Sprintf("the running driver: sessions: %d", len(report.Sessions)), nil)
		for _, reason := range report.Attention {
			found.note("the running driver needs attention: " + reason)
		}
	}
	if err != nil && !errors.Is(err, control.ErrNoDriver) && !errors.Is(err, control.ErrOldDriver) {
		found.say("the running driver", err)
		return nil
	}
	trials := trialsOf(cfg, f)
	if err == nil {
		for _, t := range trials {
			done, asked := client.Check(ctx, t)
			if err = asked; err != nil {
				break
			}
			for _, x := range done.Findings {
				found.say(x.What, x.Failure())
			}
		}
		if err == nil {
			return nil
		}
	}
	found.note(err.Error())
	if len(trials) == 0 {
		return nil
	}
	what := "log options"
	if len(f.check.volumeOpts) > 0 {
		what = "options"
	}
	found.note("the " + what + " are tried by this process: the service may have other files, variables and credentials")
	aws := awsconf.New(cfg.AWS, Name, p.Version)
	resolver := newResolver(aws, cfg, &metrics.Resolves{}, p.newLog(f))
	defer resolver.Close()
	var errs []error
	for _, t := range trials {
		errs = append(errs, tryOptions(ctx, session.Config{Config: cfg, Resolver: resolver, Kinds: RoutersOf(aws)}, t, found.say))
	}
	return errors.Join(errs...)
}

// trialsOf returns what is to be tried: the given options, or without any each destination of the configuration.
func trialsOf(cfg *config.Config, f flags) []control.Trial {
	var all []control.Trial
	if len(f.check.volumeOpts) > 0 {
		all = append(all, control.Trial{VolumeOpts: f.check.volumeOpts})
	}
	if len(f.check.logOpts) > 0 {
		all = append(all, control.Trial{LogOpts: f.check.logOpts, Send: f.check.send})
	}
	if len(all) > 0 {
		return all
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Logs.Destinations)) {
		all = append(all, control.Trial{LogOpts: map[string]string{"destination": name}})
	}
	return all
}

// checkDaemon looks at what the Docker daemon gives to all containers.
func checkDaemon(found *findings, path string) {
	f, err := safefile.Read(path, safefile.Options{Max: maxDaemonConfig})
	if err != nil {
		return // it has none, or one that this user may not read
	}
	var daemon struct {
		LogDriver string            `json:"log-driver"`
		LogOpts   map[string]string `json:"log-opts"`
	}
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch err := json.Unmarshal(f.Data, &daemon); {
	case errors.As(err, &syntax):
		line := 1 + bytes.Count(f.Data[:min(int(syntax.Offset), len(f.Data))], []byte("\n"))
		found.say(path, fmt.Errorf("line %d is not valid JSON, and the Docker daemon does not start with it; correct it", line))
	case errors.As(err, &kind) && strings.HasPrefix(kind.Field, "log-"):
		found.say(path, fmt.Errorf("%s has a %s, and the Docker daemon does not start with it; put it in quotes", kind.Field, kind.Value))
	case err == nil && strings.HasPrefix(daemon.LogDriver, "secretref") && len(daemon.LogOpts) > 0:
		found.say(path, errors.New("it gives log-opts beside log-driver "+daemon.LogDriver+": the Docker daemon does not start while the log driver is away; "+
			"move them into [logs.destinations.NAME], name that as default_destination, and remove log-opts"))
	}
}

// maxDaemonConfig bounds what is read of daemon.json, in bytes.
const maxDaemonConfig = 1 << 20

// tryOptions tries the options of a container's log or of a volume.
func tryOptions(ctx context.Context, c session.Config, t control.Trial, say func(string, error)) error {
	if len(t.VolumeOpts) > 0 {
		volume.Check(ctx, volume.Config{Config: c.Config, Resolver: c.Resolver}, t.VolumeOpts, say)
		return nil
	}
	trial := session.Trial{LogOpts: t.LogOpts}
	if t.Send {
		trial.Line = "secretref-logdriver check --send at " + time.Now().UTC().Format(time.RFC3339Nano)
	}
	return session.Check(ctx, c, trial, func(f session.Finding) { say(f.What, f.Err) })
}

// Check carries out `check` in the driver.
func (s *service) Check(ctx context.Context, t control.Trial) (control.CheckReport, error) {
	cfg, broken := s.current()
	r := control.CheckReport{Program: s.version}
	say := func(what string, err error) {
		f := control.Finding{What: what}
		if err != nil {
			f.Error = fault.OneLine(err.Error())
		}
		r.Findings = append(r.Findings, f)
	}
	if broken != nil {
		say("the configuration of the running driver", broken)
		if s.unusable {
			return r, nil
		}
	}
	if len(t.VolumeOpts) > 0 && s.volumes == nil {
		say("volumes", errNoVolumes)
	}
	err := tryOptions(ctx, session.Config{Config: cfg, Resolver: s.resolver, Kinds: s.kinds}, t, say)
	return r, err
}
