package logplugin

import (
	"os"
	"path/filepath"
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
