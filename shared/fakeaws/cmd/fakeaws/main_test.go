package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	seed := filepath.Join(t.TempDir(), "seed.json")
	if err := os.WriteFile(seed, []byte(`{"secrets":[{"name":"prod/registry","string":"x"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"--state", seed}, w)
		_ = w.Close()
		done <- err
	}()
	lines := bufio.NewScanner(r)
	for _, key := range []string{"AWS_ENDPOINT_URL=", "AWS_EC2_METADATA_SERVICE_ENDPOINT="} {
		if !lines.Scan() {
			t.Fatal("the output has ended")
		}
		url, ok := strings.CutPrefix(lines.Text(), key)
		if !ok {
			t.Fatalf("line %q, want %s", lines.Text(), key)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/_calls", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s/_calls = %d", url, resp.StatusCode)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("run = %v", err)
	}
}

func TestRunRefuses(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.json")
	if err := os.WriteFile(bad, []byte(`{"secert":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"argument": {"x"}, "no file": {"--state", bad + "x"}, "bad file": {"--state", bad}, "bad address": {"--listen", "127.0.0.1:99999"},
	} {
		if err := run(t.Context(), args, io.Discard); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
