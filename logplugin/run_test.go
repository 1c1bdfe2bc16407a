package logplugin

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func run(ctx context.Context, args ...string) (int, string) {
	var out bytes.Buffer
	code := Run(ctx, Program{Args: args, Stdout: &out, Stderr: &out, Getenv: func(string) string { return "" }, Version: "1"})
	return code, out.String()
}

func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"", 2, "Usage:"}, {"help", 0, "Usage:"}, {"version", 0, "1"}, {"bogus", 2, "unknown command"}, {"serve x", 2, "too much"},
		{"status --state-dir " + t.TempDir(), 1, "no driver answers"},
	} {
		if code, out := run(t.Context(), strings.Fields(tt.args)...); code != tt.code || !strings.Contains(out, tt.want) {
			t.Errorf("%q: %d, %q; want %d, %q", tt.args, code, out, tt.code, tt.want)
		}
	}
}

func TestServeAndStatus(t *testing.T) {
	dir, err := os.MkdirTemp("", "ld") // short: a socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	conf := filepath.Join(dir, "c")
	if err := os.WriteFile(conf, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	serve := func(socket string) (int, string) {
		return run(ctx, "serve", "--config", conf, "--state-dir", filepath.Join(dir, "s"), "--socket", filepath.Join(dir, socket))
	}
	done := make(chan int, 1)
	go func() { code, _ := serve("a"); done <- code }()
	code, out := 1, ""
	for range 100 {
		if code, out = run(ctx, "status", "--config", conf, "--state-dir", filepath.Join(dir, "s")); code == 0 {
			break
		}
		<-time.After(20 * time.Millisecond)
	}
	if code != 0 || !strings.Contains(out, "CONTAINER") {
		t.Fatalf("status: %d, %q", code, out)
	}
	if code, out := serve("b"); code != 1 {
		t.Errorf("a second driver: %d, %q", code, out)
	}
	stop()
	select {
	case code := <-done:
		if code != 0 {
			t.Errorf("the end: %d", code)
		}
	case <-time.After(8 * time.Second):
		t.Fatal("the driver does not end")
	}
}
