//go:build integration

package fluentd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/rig"
	"github.com/secretref/secretref/shared/secret"
)

// The version that the tests were written against.
const fluentLogger = "@fluent-org/logger@1.0.10"

// peerLines are how many lines of a peer wait for the test; with more its standard output fills, and it stops.
const peerLines = 10000

// peer is a running receiver that we did not write. It prints JSON lines.
type peer struct {
	address string // host:port or unix:///path
	lines   chan map[string]any
	process *os.Process
}

// startPeer starts a program that ends with its standard input, and waits for its first line.
func startPeer(t *testing.T, program string, args ...string) (p *peer, first map[string]any) {
	t.Helper()
	path, err := rig.Tool(program)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stderr = os.Stderr
	cmd.WaitDelay = 5 * time.Second
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p = &peer{lines: make(chan map[string]any, peerLines), process: cmd.Process}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(p.lines)
		sc := bufio.NewScanner(stdout)
		sc.Buffer(nil, 16<<20)
		for sc.Scan() {
			var line map[string]any
			if json.Unmarshal(sc.Bytes(), &line) == nil {
				p.lines <- line
			}
		}
	}()
	t.Cleanup(func() {
		_ = stdin.Close()
		for range p.lines { // else one that the test has not taken would hold up the end
		}
		<-done
		_ = cmd.Wait()
		cancel()
	})
	first = p.next(t)
	return p, first
}

func startFluentServer(t *testing.T, options map[string]any) *peer {
	t.Helper()
	text, err := json.Marshal(options)
	if err != nil {
		t.Fatal(err)
	}
	p, first := startPeer(t, "node", "testdata/fluentserver.js", install(t), string(text))
	port, _ := first["port"].(float64)
	if port == 0 {
		t.Fatalf("node says %v, want its port", first)
	}
	p.address = fmt.Sprintf("127.0.0.1:%.0f", port)
	return p
}

func (p *peer) next(t *testing.T) map[string]any {
	t.Helper()
	select {
	case l, ok := <-p.lines:
		if !ok {
			t.Fatal("the receiver has ended")
		}
		return l
	case <-time.After(20 * time.Second):
		t.Fatal("the receiver says nothing for 20s")
		return nil
	}
}

// install puts the receiver into the module's .cache, once.
func install(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../../.cache/fluent-logger")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules/@fluent-org/logger/package.json")); err == nil {
		return dir
	} else if !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", dir, fluentLogger)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm install %s: %v\n%s", fluentLogger, err, out)
	}
	return dir
}

// TestFluentServer delivers to @fluent-org/logger's server with everything on, and is refused by it.
func TestFluentServer(t *testing.T) {
	ca, err := rig.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, err := ca.Issue("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	clientCert, clientKey, err := ca.Issue("client")
	if err != nil {
		t.Fatal(err)
	}
	security := func(users bool) map[string]any {
		return map[string]any{"serverHostname": "server", "sharedKey": sharedKey, "authorize": users, "userDict": map[string]string{"user": password}}
	}
	secure := map[string]any{"cert": string(certPEM), "key": string(keyPEM), "ca": string(ca.PEM()), "requestCert": true, "rejectUnauthorized": true}
	for _, c := range []struct {
		name    string
		server  map[string]any
		options map[string]string
		secrets map[string]string
	}{
		{"open", nil, nil, nil},
		{"gzip and ack", nil, map[string]string{"fluentd-compress": "gzip", "fluentd-request-ack": "true"}, nil},
		{"shared key", map[string]any{"security": security(false)}, map[string]string{"fluentd-request-ack": "true"}, map[string]string{"fluentd-shared-key": sharedKey}},
		{"shared key, no ack", map[string]any{"security": security(false)}, nil, map[string]string{"fluentd-shared-key": sharedKey}},
		{"user, TLS, client certificate, ack, gzip", map[string]any{"security": security(true), "tlsOptions": secure},
			map[string]string{"fluentd-request-ack": "true", "fluentd-compress": "gzip", "fluentd-username": "user", "fluentd-tls-ca-cert": string(ca.PEM())},
			map[string]string{"fluentd-shared-key": sharedKey, "fluentd-password": password, "fluentd-tls-cert": string(clientCert), "fluentd-tls-key": string(clientKey)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startFluentServer(t, c.server)
			r, encoders, _ := to(t, s, c.server["tlsOptions"] != nil, c.options, c.secrets)
			for range 2 {
				b, lines := routertest.Batch(encoders, 500)
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel() //nolint:gocritic // two of them
				if err := r.Send(ctx, b); err != nil {
					t.Fatal(err)
				}
				for i, want := range lines {
					e := s.next(t)
					record, _ := e["record"].(map[string]any)
					if record["log"] != want || e["tag"] != []string{"one", "two"}[i/250] || record["container_id"] != strings.Repeat("0", 64) {
						t.Fatalf("entry %d is %v, want %q", i, e, want)
					}
				}
			}
		})
	}
	for _, c := range []struct {
		name    string
		wrong   string
		secrets map[string]string
	}{
		{"wrong key", "fluentd-shared-key", map[string]string{"fluentd-shared-key": "wrong", "fluentd-password": password}},
		{"wrong password", "fluentd-password", map[string]string{"fluentd-shared-key": sharedKey, "fluentd-password": "wrong"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startFluentServer(t, map[string]any{"security": security(true)})
			r, encoders, sources := to(t, s, false, map[string]string{"fluentd-request-ack": "true", "fluentd-username": "user"}, c.secrets)
			sources["fluentd-shared-key"].Rotate(sharedKey)
			sources["fluentd-password"].Rotate(password)
			b, lines := routertest.Batch(encoders, 3)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			err := r.Send(ctx, b)
			if router.ClassOf(err) != router.ClassCredentials || sources[c.wrong].Invalidated() != 1 {
				t.Fatalf("%v, want class credentials", err)
			}
			t.Log(err)
			routertest.Quiet(t, err, sharedKey, password)
			if err := r.Send(ctx, b); err != nil {
				t.Fatalf("with the right secrets: %v", err)
			}
			for range lines {
				s.next(t)
			}
		})
	}
}

func to(t *testing.T, s *peer, secure bool, options, secrets map[string]string) (*Router, []router.Encoder, map[string]*routertest.Source) {
	t.Helper()
	address := s.address
	if secure {
		address = "tls://" + address
	}
	o := router.Options{Plain: map[string]string{"fluentd-address": address, "fluentd-sub-second-precision": "true"},
		Secrets: map[string]secret.Source{}}
	for k, v := range options {
		o.Plain[k] = v
	}
	sources := map[string]*routertest.Source{}
	for k, v := range secrets {
		sources[k] = routertest.NewSource(v)
		o.Secrets[k] = sources[k]
	}
	config, err := Parse(o)
	if err != nil {
		t.Fatal(err)
	}
	r := New(config)
	t.Cleanup(func() { _ = r.Close() })
	var encoders []router.Encoder
	for _, tag := range []string{"one", "two"} {
		e, err := NewEncoder(t.Context(), config, router.Session{Tag: tag, ContainerID: strings.Repeat("0", 64), ContainerName: "/n"})
		if err != nil {
			t.Fatal(err)
		}
		encoders = append(encoders, e)
	}
	return r, encoders, sources
}
