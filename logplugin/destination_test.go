package logplugin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router/splunk/hectest"
)

// A container that names a destination follows it to another receiver while it runs, and can say nothing about it.
func TestNamedDestination(t *testing.T) {
	d := startDriver(t, "")
	second, err := hectest.Start(hectest.Options{Tokens: []string{token}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(second.Close)
	plain, err := os.ReadFile(d.args[1])
	if err != nil {
		t.Fatal(err)
	}
	set := func(url string) {
		t.Helper()
		text := string(plain) + "allow_options = false\nallow_references = []\nallow_routers = []\ndefault_destination = \"prod\"\n" +
			"[logs.destinations.prod]\nlogDriver = \"splunk\"\nsplunk-url = \"" + url + "\"\nsecretOptions.splunk-token = \"" + d.reference + "\"\n"
		if err := os.WriteFile(d.args[1], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		d.reread(t)
	}
	set(d.hec.URL())
	for name, config := range map[string]map[string]string{
		"own options": {"logDriver": "splunk", "splunk-url": d.hec.URL(), "secretOptions.splunk-token": d.reference},
		"another URL": {"destination": "prod", "splunk-url": second.URL()},
	} {
		if a := d.startWith(t, "refused", config); !strings.Contains(a, "destination") || !strings.Contains(a, "prod") {
			t.Errorf("%s: %s, want a refusal that names the destination", name, a)
		}
	}
	f, g := d.fifo(t, "c1"), d.fifo(t, "c2")
	for name, config := range map[string]map[string]string{"c1": {"destination": "prod"}, "c2": {"tag": "x"}} {
		if a := d.startWith(t, name, config); a != `{"Err":""}` {
			t.Fatalf("%s: %s", name, a)
		}
	}
	write(t, f, "one")
	write(t, g, "two")
	await(t, "both lines", func() bool { return d.hec.Count() == 2 })
	if code, out := d.run(t, "check"); code != 0 || !strings.Contains(out, "ok     the router takes the credentials") {
		t.Errorf("check of the destinations: %d\n%s", code, out)
	}
	set(second.URL())
	write(t, f, "three")
	await(t, "a line at the other receiver", func() bool { return second.Count() == 1 })
	if d.hec.Count() != 2 {
		t.Errorf("%d lines at the first receiver, want 2", d.hec.Count())
	}
	kept, err := filepath.Glob(filepath.Join(d.state(), "sessions", "*.json"))
	if err != nil || len(kept) != 2 {
		t.Fatalf("state files %v, %v", kept, err)
	}
	for _, file := range kept {
		text, err := os.ReadFile(file)
		if err != nil || strings.Contains(string(text), "arn:") || strings.Contains(string(text), "127.0.0.1") {
			t.Errorf("state %s, %v; want neither reference nor address in it", text, err)
		}
	}
}

// With log-opts in daemon.json the Docker daemon does not start without the driver.
func TestCheckLooksAtTheDaemon(t *testing.T) {
	d := startDriver(t, "")
	file := filepath.Join(d.dir, "daemon.json")
	for text, want := range map[string]string{
		`{"log-driver": "secretref"}`:                                      "",
		`{"log-driver": "secretref", "log-opts": {"logDriver": "splunk"}}`: "does not start while the log driver is away",
		`{"log-driver": "json-file", "log-opts": {"max-size": "10m"}}`:     "",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out buffer
		code := Run(t.Context(), Program{Args: append([]string{"check"}, d.args...), Stdout: &out, Stderr: &out, Getenv: func(string) string { return "" }, DaemonConfig: file})
		if (code != exitOK) != (want != "") || !strings.Contains(out.String(), want) {
			t.Errorf("%s: %d, %s; want %q", text, code, out.String(), want)
		}
	}
}
