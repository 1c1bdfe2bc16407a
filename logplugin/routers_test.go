package logplugin

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/router/splunk/hectest"
)

// HEC refuses a whole request for one wrong index. Containers with another index are sent in requests of their own.
func TestWrongIndexStopsNobodyElse(t *testing.T) {
	d := startDriver(t, "")
	hec, err := hectest.Start(hectest.Options{Tokens: []string{token}, Indexes: []string{"main", "other"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hec.Close)
	begin := func(name, index string) {
		t.Helper()
		file := filepath.Join(d.dir, name)
		if err := unix.Mkfifo(file, 0o700); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(file, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		config := map[string]string{"logDriver": "splunk", "splunk-url": hec.URL(), "secretOptions.splunk-token": d.reference, "splunk-index": index}
		if a := d.call(t, "LogDriver.StartLogging", map[string]any{"File": file, "Info": map[string]any{
			"Config": config, "ContainerID": strings.Repeat("a", 62) + name, "ContainerName": "/" + name,
		}}); a != `{"Err":""}` {
			t.Fatalf("StartLogging: %s", a)
		}
		write(t, f, name)
	}
	begin("c1", "mian")
	await(t, "the wrong index is refused", func() bool {
		all := d.sessions(t)
		return len(all) == 1 && strings.Contains(all[0].LastError, "HEC code 7")
	})
	begin("c2", "main")
	begin("c3", "other")
	await(t, "the lines of the others", func() bool { return hec.Count() == 2 })
	for _, e := range hec.Events() {
		if !strings.Contains(e.Text, `"line":"c2"`) && !strings.Contains(e.Text, `"line":"c3"`) {
			t.Errorf("event %s", e.Text)
		}
	}
}

// The command shows what the table of a router says, and every option of it.
func TestRoutersCommand(t *testing.T) {
	say := func(args ...string) (string, int) {
		var out bytes.Buffer
		code := Run(t.Context(), Program{Args: append([]string{"routers"}, args...), Stdout: &out, Stderr: &out, Getenv: func(string) string { return "" }, Version: "1"})
		return out.String(), code
	}
	list, code := say()
	for _, k := range Routers() {
		if !strings.Contains(list, k.Name+"\n") || code != 0 {
			t.Errorf("exit %d, no %s in\n%s", code, k.Name, list)
		}
		text, code := say(k.Name)
		if code != 0 {
			t.Errorf("%s: exit %d\n%s", k.Name, code, text)
		}
		for _, o := range k.Options {
			line := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(o.Name) + `(\.NAME)? +` + regexp.QuoteMeta(o.Default) + `.*$`).FindString(text)
			if line == "" || o.Required && !strings.Contains(line, "required") || o.Credential && !strings.Contains(line, "give a reference") {
				t.Errorf("%s: the line of %s is %q in\n%s", k.Name, o.Name, line, text)
			}
		}
	}
	if text, code := say("awsfirelens"); code != 0 || !regexp.MustCompile(`(?m)^http +http$`).MatchString(text) {
		t.Errorf("exit %d\n%s", code, text)
	}
	if text, code := say("splnk"); code != 1 || !strings.Contains(text, "did you mean splunk?") {
		t.Errorf("exit %d\n%s", code, text)
	}
}
