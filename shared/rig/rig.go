// Package rig starts the real parts that tests and the demo run against: a Docker daemon, a registry with a password,
// moto's AWS server, log receivers (VictoriaLogs, the OpenTelemetry Collector), a systemd, network namespaces, and the
// search for a secret that has leaked.
//
// Use it when a test needs the behaviour of a program that we did not write; for AWS alone, with faults on demand,
// shared/fakeaws is quicker. Every part is a Start function that returns once the part answers, and a Stop that ends it
// by pid, waits, and takes away its directories, mounts, cgroups and interfaces. Nothing here waits without a
// deadline. Everything listens where only this machine reaches it, and two parts of one kind run side by side.
//
// It needs root and the programs of packaging/install-test-deps, and refuses to guess: a missing part is an error that
// names it. Only tests and the demo may import it.
package rig

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"time"
)

// startTimeout is for one part to come up on a small machine that is busy building something else.
const startTimeout = 90 * time.Second

const loopback = "127.0.0.1"

// TB is what Use needs of a *testing.T. The demo brings its own.
type TB interface {
	Helper()
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// Part is a thing that was started.
type Part interface {
	// Stop ends the part, waits for it and takes away what it left. An error says what is still there.
	// A second Stop does nothing.
	Stop() error
	// Log returns what the part has written so far.
	Log() string
}

var (
	_ Part = (*Dockerd)(nil)
	_ Part = (*Registry)(nil)
	_ Part = (*Moto)(nil)
	_ Part = (*VictoriaLogs)(nil)
	_ Part = (*Collector)(nil)
	_ Part = (*NetNS)(nil)
	_ Part = (*Systemd)(nil)
)

// Use starts a part for as long as t lasts: rig.Use(t, rig.StartMoto, rig.MotoOptions{}). The part's log is shown when
// t has failed.
func Use[P Part, O any](t TB, start func(context.Context, O) (P, error), options O) P {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	p, err := start(ctx, options)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if f, ok := t.(interface{ Failed() bool }); ok && f.Failed() {
			t.Logf("log of %T:\n%s", p, tail(p.Log()))
		}
		if err := p.Stop(); err != nil {
			t.Fatalf("%v", err)
		}
	})
	return p
}

// await polls probe until it says nil. It gives up when ctx ends or when exited, which may be nil, is closed.
func await(ctx context.Context, exited <-chan struct{}, probe func(context.Context) error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := probe(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; last answer: %w", context.Cause(ctx), err)
		case <-exited:
			return fmt.Errorf("it has ended; last answer: %w", err)
		case <-tick.C:
		}
	}
}

// uniqueName returns prefix and eight random hexadecimal digits.
func uniqueName(prefix string) string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return prefix + hex.EncodeToString(b[:])
}

// tempDir makes a directory whose path is short enough for the sockets inside: a socket's path has at most 107 bytes.
func tempDir(kind string) (string, error) {
	d, err := os.MkdirTemp("", "sr-"+kind+"-")
	if err != nil {
		return "", err
	}
	if len(d) > 50 {
		_ = os.Remove(d)
		return "", fmt.Errorf("%s is too long for sockets inside it; set TMPDIR to a shorter path", d)
	}
	return d, nil
}

// tail returns the last 4,000 bytes of s, from the start of a line.
func tail(s string) string {
	const limit = 4000
	if len(s) <= limit {
		return s
	}
	s = s[len(s)-limit:]
	if _, rest, ok := strings.Cut(s, "\n"); ok {
		s = rest
	}
	return "[...]\n" + s
}
