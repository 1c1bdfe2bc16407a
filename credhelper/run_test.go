package credhelper

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/hostcache"
)

// program returns a resolver whose Fetcher is fetch, with one mapped registry and no cache.
func program(t *testing.T, stdin io.Reader, fetch fetchFunc, args ...string) (p Program, stdout, stderr *bytes.Buffer) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.toml")
	text := "[aws]\ntimeout = \"300ms\"\n[cache]\nstore = \"off\"\n[registries.\"a.example.com\"]\ncredentialsParameter = \"x\"\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	return Program{
		Args: args, Stdin: stdin, Stdout: stdout, Stderr: stderr, Version: "1.2.3",
		Getenv: func(name string) string {
			return map[string]string{"SECRETREF_CONFIG": file, "SECRETREF_SYSLOG": "off"}[name]
		},
		NewFetcher: func(*config.Config) Fetcher { return fetch },
	}, stdout, stderr
}

type fetchFunc func(context.Context, Target) (hostcache.Fetched, error)

func (f fetchFunc) Fetch(ctx context.Context, t Target) (hostcache.Fetched, error) { return f(ctx, t) }

// Whatever goes wrong inside, a client gets one line, on both streams, and no word of what a value was.
func TestRunAlwaysAnswers(t *testing.T) {
	for _, c := range []struct {
		name  string
		args  string
		fetch fetchFunc // nil waits until after the test
		want  string
	}{
		{"a panic", "get", func(context.Context, Target) (hostcache.Fetched, error) { panic("sesame") },
			"internal error (panic); please report it with the output of explain"},
		{"a panic on another way in", "store", func(context.Context, Target) (hostcache.Fetched, error) { panic("sesame") },
			"internal error (panic); please report it with the output of explain"},
		{"a wait that knows no deadline", "get", nil, "no answer within 300ms, for a reason that is not known; please report it with the output of explain"},
		{"a wait until the deadline", "get", func(ctx context.Context, _ Target) (hostcache.Fetched, error) {
			<-ctx.Done()
			return hostcache.Fetched{}, errors.New("given up;\ntry again")
		}, "registry a.example.com: given up; try again"},
	} {
		t.Run(c.name, func(t *testing.T) {
			stdin := "a.example.com"
			if c.args == "store" {
				stdin = `{"ServerURL": "a.example.com", "Username": "u", "Secret": "sesame"}`
			}
			synctest.Test(t, func(t *testing.T) {
				block := make(chan struct{})
				defer close(block)
				fetch := c.fetch
				if fetch == nil {
					fetch = func(context.Context, Target) (hostcache.Fetched, error) {
						<-block
						return hostcache.Fetched{}, errors.New("sesame")
					}
				}
				p, stdout, stderr := program(t, strings.NewReader(stdin), fetch, c.args)
				status := Run(t.Context(), p)
				if status != 1 || stdout.String() != c.want+"\n" || stderr.String() != Name+": "+c.want+"\n" {
					t.Errorf("Run = %d, standard output %q, standard error %q; want 1 and %q", status, stdout, stderr, c.want)
				}
			})
		})
	}
}

// A panic in a command for people ends the same way.
func TestRunPanics(t *testing.T) {
	p, stdout, _ := program(t, strings.NewReader(""), func(context.Context, Target) (hostcache.Fetched, error) { panic("sesame") }, "check")
	status := Run(t.Context(), p)
	if status != 1 || strings.Contains(stdout.String(), "sesame") || !strings.Contains(stdout.String(), "internal error (panic)") {
		t.Errorf("check = %d, %q", status, stdout)
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args           []string
		status         int
		stdout, stderr string
	}{
		{nil, exitUsage, "", usage},
		{[]string{"--help"}, exitOK, usage, ""},
		{[]string{"-h"}, exitOK, usage, ""},
		{[]string{"help"}, exitOK, usage, ""},
		{[]string{"version"}, exitOK, "docker-credential-secretref (github.com/secretref/secretref) 1.2.3\n", ""},
	} {
		p, stdout, stderr := program(t, strings.NewReader(""), nil, c.args...)
		if status := Run(t.Context(), p); status != c.status || stdout.String() != c.stdout || stderr.String() != c.stderr {
			t.Errorf("Run(%q) = %d, standard output %q, standard error %q", c.args, status, stdout, stderr)
		}
	}
	for _, command := range []string{"get", "store", "erase", "list", "check", "explain", "configure docker", "configure podman", "version"} {
		if !strings.Contains(usage, "\n  "+command+" ") {
			t.Errorf("the usage has no line for %s", command)
		}
	}
}

// The help of each command, the usage of all and the command line know the same options.
func TestCommandsAgree(t *testing.T) {
	for _, c := range commands() {
		if !strings.Contains(usage, "\n  "+c.name+" ") {
			t.Errorf("the usage has no line for %s", c.name)
		}
		for _, o := range c.options {
			line := strings.TrimSpace("--" + o.name + " " + o.arg)
			if !strings.Contains(usage, "\n      "+line+" ") || !strings.Contains(c.usage(), "\n  "+line+" ") {
				t.Errorf("%s: option %q is not in the usage, or not in its own", c.name, line)
			}
			given := []string{"--" + o.name}
			if o.arg != "" {
				given = append(given, "x")
			}
			if _, _, err := c.parse(given); err != nil {
				t.Errorf("%s %q: %v", c.name, given, err)
			}
		}
	}
	known := map[string]bool{}
	for _, c := range commands() {
		for _, o := range c.options {
			known[o.name] = true
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^ +--([a-z-]+) `).FindAllStringSubmatch(usage, -1) {
		if !known[m[1]] {
			t.Errorf("the usage has an option --%s that no command takes", m[1])
		}
	}
}

// --user looks at the files of that user, --config at another directory of docker's.
func TestExplainOfAUser(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"explain", "--user", "nobody", "a.example.com"}, "/nonexistent/.docker/config.json has no credHelpers[\"a.example.com\"]"},
		{[]string{"explain", "--config", "/nonexistent/docker", "a.example.com"}, "/nonexistent/docker/config.json has no credHelpers[\"a.example.com\"]"},
		{[]string{"explain", "--user=nobody", "--config=/nonexistent/docker", "a.example.com"}, "/nonexistent/docker/config.json has no"},
		{[]string{"explain", "--user", "nobody", "a.example.com"}, "/run/user/65534/containers/auth.json"},
	} {
		p, stdout, stderr := program(t, strings.NewReader(""), nil, c.args...)
		if status := Run(t.Context(), p); status != 0 || !strings.Contains(stdout.String(), c.want) {
			t.Errorf("%q = %d, %s%s\nwant %q", c.args, status, stdout, stderr, c.want)
		}
	}
}
