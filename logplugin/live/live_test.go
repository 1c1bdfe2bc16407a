package main

import (
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin"
	"github.com/secretref/secretref/logplugin/router/datadog/datadogtest"
	"github.com/secretref/secretref/logplugin/router/elasticsearch/elastictest"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

const key = "0123456789abcdef0123456789abcdef"

// try runs the program with these variables.
func try(environment map[string]string) (code int, out string) {
	var b strings.Builder
	code = run(program{kinds: logplugin.Routers(), getenv: func(name string) string { return environment[name] }, out: &b})
	return code, b.String()
}

// Without an account nothing is sent, and each router's variables are named.
func TestUnset(t *testing.T) {
	code, out := try(nil)
	if code != 1 || !strings.HasSuffix(out, "live: no account is named, so nothing was tried\n") {
		t.Errorf("exit status %d\n%s", code, out)
	}
	for _, k := range logplugin.Routers() {
		want := "set SECRETREF_LIVE_" + strings.ToUpper(k.Name) + " to NAME=VALUE,NAME=VALUE and SECRETREF_LIVE_" + strings.ToUpper(k.Name) + "_SECRET to NAME=VALUE"
		if has := strings.Contains(out, want); has == (k.Name == "null" || k.Name == "awsfirelens") {
			t.Errorf("%s: %v that the output has %q\n%s", k.Name, has, want, out)
		}
	}
}

// A line, a refusal and a rotation, at receivers in memory.
func TestAccounts(t *testing.T) {
	d := datadogtest.Start(datadogtest.Options{Keys: []string{key}})
	t.Cleanup(d.Close)
	e := elastictest.Start(elastictest.Options{Auth: "ApiKey " + key})
	t.Cleanup(e.Close)
	code, out := try(map[string]string{
		"SECRETREF_LIVE_DATADOG": "datadog-host=" + d.URL() + ",datadog-service=live", "SECRETREF_LIVE_DATADOG_SECRET": "datadog-api-key=" + key,
		"SECRETREF_LIVE_ELASTICSEARCH": "elasticsearch-url=" + e.URL(), "SECRETREF_LIVE_ELASTICSEARCH_SECRET": "elasticsearch-api-key=" + key,
	})
	if code != 0 || strings.Contains(out, key) || strings.Contains(out, "failed") {
		t.Errorf("exit status %d\n%s", code, out)
	}
	for _, name := range []string{"datadog", "elasticsearch"} {
		for _, want := range []string{"a line: secretref live test ", "a refusal: send to http://127.0.0.1:", "a rotation\n"} {
			if !strings.Contains(out, strings.TrimRight(name+"              ", " ")) || strings.Count(out, " ok      "+want) != 2 {
				t.Errorf("%s: no %q\n%s", name, want, out)
			}
		}
	}
	if len(d.Logs()) != 2 || len(e.Documents()) != 2 {
		t.Errorf("%d and %d lines arrived, want 2 each", len(d.Logs()), len(e.Documents()))
	}
}

func TestFailures(t *testing.T) {
	d := datadogtest.Start(datadogtest.Options{})
	t.Cleanup(d.Close)
	for _, c := range []struct {
		name, options, credential, want string
		mishap                          routertest.Mishap
	}{
		{"a wrong key is accepted", "datadog-host=" + d.URL(), "datadog-api-key=" + key, "a wrong credential was accepted", routertest.Mishap{}},
		{"the key is refused", "datadog-host=" + d.URL(), "datadog-api-key=" + key, "answer 403", routertest.Mishap{Status: 403}},
		{"no credential", "datadog-host=" + d.URL(), "", "is not NAME=VALUE", routertest.Mishap{}},
		{"no value", "datadog-host=" + d.URL(), "datadog-api-key", "is not NAME=VALUE", routertest.Mishap{}},
		{"options", "datadog-host", "datadog-api-key=" + key, "has no value", routertest.Mishap{}},
		{"a wrong option", "datadog-site=x", "datadog-api-key=" + key, "is not a site", routertest.Mishap{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.mishap.Status != 0 {
				d.Fail(c.mishap)
			}
			code, out := try(map[string]string{"SECRETREF_LIVE_DATADOG": c.options, "SECRETREF_LIVE_DATADOG_SECRET": c.credential})
			if code != 1 || !strings.Contains(out, "failed") || !strings.Contains(out, c.want) || strings.Contains(out, key) {
				t.Errorf("exit status %d, want 1 and %q\n%s", code, c.want, out)
			}
		})
	}
}

func TestWrong(t *testing.T) {
	for value, want := range map[string]string{"Bearer az-9F": "Bearer bu-0A", "0123": "1234", "": "", "é": "é"} {
		if got := wrong(value); got != want {
			t.Errorf("wrong(%q) = %q, want %q", value, got, want)
		}
	}
}
