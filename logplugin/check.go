package logplugin

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/secretref/secretref/logplugin/control"
	"github.com/secretref/secretref/logplugin/metrics"
	"github.com/secretref/secretref/logplugin/session"
	"github.com/secretref/secretref/shared/fault"
)

// check tries all that can be tried without a container, and shows what it has found, a line each.
func (p Program) check(ctx context.Context, f flags) error {
	failed := 0
	say := func(found session.Finding) {
		if found.Err != nil {
			failed++
			fmt.Fprintf(p.Stdout, "failed %s: %s\n", found.What, fault.OneLine(found.Err.Error()))
			return
		}
		fmt.Fprintf(p.Stdout, "ok     %s\n", found.What)
	}
	cfg, err := p.load(f)
	what := "configuration"
	switch {
	case err != nil: // it names the file
	case len(cfg.Files) == 0:
		what += ": no file, so defaults"
	default:
		what += ": " + strings.Join(cfg.Files, ", ")
	}
	if say(session.Finding{What: what, Err: err}); err != nil {
		return errors.New("nothing more can be checked")
	}
	say(session.Finding{What: "state directory: " + cfg.Logs.StateDir, Err: session.CheckStateDir(cfg.Logs.StateDir)})
	switch r, err := control.NewClient(cfg.Logs.StateDir).Report(ctx); {
	case errors.Is(err, control.ErrNoDriver):
		fmt.Fprintf(p.Stdout, "note   %v\n", err)
	case err != nil:
		say(session.Finding{What: "the running driver", Err: err})
	default:
		say(session.Finding{What: fmt.Sprintf("the running driver: sessions: %d", len(r.Sessions))})
	}
	if cfg.Logs.AllowReferences == nil {
		fmt.Fprintln(p.Stdout, "note   a container may name any reference that this host can read: set allow_references under [logs]")
	}
	if len(f.logOpts) > 0 {
		resolver := p.resolver(cfg, &metrics.Resolves{})
		defer resolver.Close()
		if err := session.Check(ctx, session.Config{Config: cfg, Resolver: resolver, Kinds: Routers()}, f.logOpts, say); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("check: failed: %d", failed)
	}
	return nil
}
