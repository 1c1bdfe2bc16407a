package credhelper_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/credhelper"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/hostcache"
	"github.com/secretref/secretref/shared/secret"
	"github.com/secretref/secretref/shared/ttl"
)

// onceFetcher has a value, as AWS does.
type onceFetcher struct{}

func (onceFetcher) Fetch(context.Context, credhelper.Target) (hostcache.Fetched, error) {
	now := time.Now()
	return hostcache.Fetched{
		Payload: secret.New(`{"username": "deploy", "password": "correct-horse-battery-staple"}`),
		Window:  ttl.Window{Fresh: now.Add(10 * time.Minute), End: now.Add(10 * time.Minute)},
	}, nil
}

// BenchmarkWarmGet is all that the front program does for one answer from the cache, without starting the process; for
// that see `make bench`.
func BenchmarkWarmGet(b *testing.B) {
	file := filepath.Join(b.TempDir(), "config.toml")
	// The name is this benchmark's own: root's cache is the machine's.
	text := "[registries.\"bench.example.com\"]\ncredentialsParameter = \"" + "bench/" + rand.Text() + "\"\nregion = \"eu-west-1\"\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	var out bytes.Buffer
	run := func(action string, fetcher func(*config.Config) credhelper.Fetcher) {
		out.Reset()
		status := credhelper.Run(b.Context(), credhelper.Program{
			Args: []string{action}, Stdin: strings.NewReader("bench.example.com"), Stdout: &out, Stderr: &out,
			Getenv: func(name string) string {
				if name == "SECRETREF_CONFIG" {
					return file
				}
				return ""
			},
			NewFetcher: fetcher,
			HandOver:   func([]string, []byte, ...string) error { return errors.New("the cache had no answer") },
		})
		if status != 0 || action == "get" && !strings.Contains(out.String(), "deploy") {
			b.Fatalf("%s: status %d: %s", action, status, out.String())
		}
	}
	run("get", func(*config.Config) credhelper.Fetcher { return onceFetcher{} })
	defer run("erase", nil)
	b.ReportAllocs()
	for b.Loop() {
		run("get", nil)
	}
}
