package logplugin

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/control"
	"github.com/secretref/secretref/logplugin/options"
)

// Every option by which a certificate is not verified is known as one, so that status and check say so.
func TestOptionsThatSkipVerification(t *testing.T) {
	named := regexp.MustCompile(`skip-?verify$`)
	found := 0
	for _, k := range Routers() {
		for _, o := range k.Options {
			if named.MatchString(o.Name) != o.SkipsVerify {
				t.Errorf("%s: SkipsVerify is %v", o.Name, o.SkipsVerify)
			}
			if !o.SkipsVerify {
				continue
			}
			found++
			rules := &options.Rules{Kinds: Routers()}
			for _, value := range []string{"true", "1", "false"} {
				names := rules.Unverified(options.Options{Router: k.Name, Plain: options.Plain{o.Name: value}})
				if want := value != "false"; (len(names) == 1 && names[0] == o.Name) != want {
					t.Errorf("%s=%s: not verified because of %q", o.Name, value, names)
				}
			}
		}
	}
	if found < 10 {
		t.Errorf("%d options skip the verification", found)
	}
}

// status, in both forms, says of which containers the receiver's certificate is not verified; check says it before there is a container.
func TestStatusOfUnverifiedReceivers(t *testing.T) {
	const note = "the receiver's certificate is not verified"
	d := startDriver(t, "[logs.destinations.prod]\nlogDriver = \"awsfirelens\"\nName = \"http\"\nHost = \"127.0.0.1\"\nPort = \"1\"\ntls = \"on\"\n\"tls.verify\" = \"Off\"\n")
	want := map[string]bool{}
	for name, c := range map[string]struct {
		config map[string]string
		not    bool
	}{
		"native":      {map[string]string{"logDriver": "http", "http-url": "https://127.0.0.1:1", "http-insecure-skip-verify": "true"}, true},
		"socket":      {map[string]string{"logDriver": "awsfirelens", "Name": "syslog", "Mode": "tls", "tls.verify": "0"}, true},
		"destination": {map[string]string{"destination": "prod"}, true},
		"verified":    {map[string]string{"logDriver": "http", "http-url": "https://127.0.0.1:1", "http-insecure-skip-verify": "false"}, false},
		"without TLS": {map[string]string{"logDriver": "awsfirelens", "Name": "http", "Port": "1", "tls.verify": "off"}, false},
	} {
		file := filepath.Join(d.dir, name)
		if err := unix.Mkfifo(file, 0o700); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(file, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		if a := d.call(t, "LogDriver.StartLogging", map[string]any{"File": file, "Info": map[string]any{
			"Config": c.config, "ContainerID": strings.Repeat("a", 64-len(name)) + name, "ContainerName": "/" + name,
		}}); a != `{"Err":""}` {
			t.Fatalf("%s: StartLogging: %s", name, a)
		}
		want[name] = c.not
	}
	all, got := d.sessions(t), map[string]bool{}
	for _, s := range all {
		got[s.ContainerName] = s.NotVerified
	}
	if !maps.Equal(got, want) {
		t.Errorf("not verified: %v, want %v", got, want)
	}
	var text bytes.Buffer
	if err := writeStatus(&text, control.Report{Sessions: all}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text.String()) {
		for name, not := range want {
			if strings.Contains(line, " "+name+" ") && strings.Contains(line, "(not verified)") != not {
				t.Errorf("status shows %s as\n%s", name, line)
			}
		}
	}
	rules := &options.Rules{Kinds: Routers(), Destinations: map[string]map[string]string{"prod": {"logDriver": "http", "http-url": "https://a.example.com", "http-insecure-skip-verify": "true"}}}
	o, err := rules.Parse(map[string]string{"destination": "prod"}, options.Info{ContainerID: strings.Repeat("0", 64)})
	if err != nil || len(o.Notes) != 1 || !strings.Contains(o.Notes[0], note) {
		t.Errorf("notes %q, %v", o.Notes, err)
	}
}
