package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/secretref/secretref/shared/rig"
)

// command is one line that a user types into a shell, and what must come of it.
type command struct {
	line  string
	stdin string
	fails bool     // it must fail
	owner bool     // typed by the image's owner, whose docker configuration is another
	want  []string // what must be in the output, each
	drop  []string // lines with one of these are not shown: progress, and what docker says about itself
}

// progress is what docker says while it pulls.
var progress = []string{"Using default tag", "Pulling fs layer", "Verifying Checksum", "Download complete", "Digest: "}

func (h *host) env() []string { return rig.Env(h.dir, h.variables()...) }

// sh shows and runs the commands in turn.
func (h *host) sh(ctx context.Context, commands ...command) error {
	for _, c := range commands {
		h.out.command(c.line)
		env := h.env()
		if c.owner {
			env = append(env, "DOCKER_CONFIG="+h.dir+"/owner")
		}
		r, err := rig.Cmd{Args: []string{"/bin/sh", "-c", c.line}, Env: env, Dir: h.dir, Stdin: c.stdin, Timeout: 45 * time.Second}.Run(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		h.out.lines(c.shown(r.Output))
		if err := c.judge(r, err); err != nil {
			return err
		}
		for _, secret := range h.secrets() {
			if secret.In(r.Output) {
				return fmt.Errorf("%s: its output holds a secret", c.line)
			}
		}
	}
	return nil
}

// judge compares what came of the command with what must.
func (c command) judge(r rig.Result, err error) error {
	switch {
	case r.Code < 0: // it was killed, or did not start
		return err
	case c.fails && r.Code == 0:
		return fmt.Errorf("%s: it succeeded, and should have failed", c.line)
	case !c.fails && r.Code != 0:
		return fmt.Errorf("%s: exit status %d, want 0", c.line, r.Code)
	}
	for _, w := range c.want {
		if !strings.Contains(r.Output, w) {
			return fmt.Errorf("%s: no %q in its output", c.line, w)
		}
	}
	return nil
}

// shown is the output without the lines to drop, and without blank ones that would stay between them.
func (c command) shown(output string) string {
	var b strings.Builder
	for line := range strings.Lines(output) {
		dropped := slices.ContainsFunc(c.drop, func(d string) bool { return strings.Contains(line, d) })
		if !dropped && (len(c.drop) == 0 || strings.TrimSpace(line) != "") {
			b.WriteString(line)
		}
	}
	return b.String()
}
