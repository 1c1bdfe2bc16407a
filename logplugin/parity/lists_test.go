//go:build integration

package parity

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// testLists holds the list of this engine to the engine: it takes each value that the list says it takes, refuses each other, and knows no
// option that only the list of another engine has.
func testLists(t *testing.T, h *host) {
	engine, other := engines[1], engines[0]
	if h.old {
		engine, other = other, engine
	}
	asked := newAPI(h)
	list := dockerOptions(t, engine)
	known := map[string]bool{}
	for _, o := range list {
		known[o.driver+" "+o.name] = true
		for _, v := range o.takes {
			if o.name == "syslog-address" && v == "" {
				continue // the host has no socket of syslog
			}
			if said := asked.create(t, o.driver, given(o.driver, o.name, v)); said != "" {
				t.Errorf("Docker %s refuses %s=%q of %s: %s", engine, o.name, v, o.driver, said)
			}
		}
		for _, v := range o.refuses {
			if said := asked.start(t, o.driver, given(o.driver, o.name, v)); said == "" {
				t.Errorf("Docker %s takes %s=%q of %s", engine, o.name, v, o.driver)
			}
		}
	}
	for _, o := range dockerOptions(t, other) {
		if known[o.driver+" "+o.name] {
			continue
		}
		if said := asked.create(t, o.driver, given(o.driver, o.name, o.takes[0])); !strings.Contains(said, "unknown log opt") {
			t.Errorf("Docker %s has the option %s, which its list does not have: %s", engine, o.name, said)
		}
	}
}

// api asks a daemon without its command line program, which would take most of the time.
type api struct{ client *http.Client }

func newAPI(h *host) *api {
	path := strings.TrimPrefix(h.dockerd.Host(), "unix://")
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}}
	h.t.Cleanup(transport.CloseIdleConnections)
	return &api{&http.Client{Transport: transport}}
}

// create makes a container and removes it. It returns what the daemon says against its options, or "".
func (a *api) create(t *testing.T, driver string, opts map[string]string) string {
	t.Helper()
	id, said := a.make(t, driver, opts)
	if said == "" {
		a.do(t, http.MethodDelete, "/containers/"+id+"?force=1", nil)
	}
	return said
}

// start is create for what a driver looks at when a container starts alone.
func (a *api) start(t *testing.T, driver string, opts map[string]string) string {
	t.Helper()
	id, said := a.make(t, driver, opts)
	if said != "" {
		return said
	}
	status, answer := a.do(t, http.MethodPost, "/containers/"+id+"/start", nil)
	a.do(t, http.MethodDelete, "/containers/"+id+"?force=1", nil)
	if status == http.StatusNoContent {
		return ""
	}
	if !strings.Contains(answer, "logging driver") {
		t.Errorf("the container does not start for another reason than its options: %s", answer)
	}
	return answer
}

func (a *api) make(t *testing.T, driver string, opts map[string]string) (id, said string) {
	t.Helper()
	status, answer := a.do(t, http.MethodPost, "/containers/create", map[string]any{
		"Image": image, "NetworkDisabled": true, "HostConfig": map[string]any{"LogConfig": map[string]any{"Type": driver, "Config": opts}},
	})
	if status != http.StatusCreated {
		return "", fmt.Sprint(status, " ", answer)
	}
	var made struct{ ID string }
	if err := json.Unmarshal([]byte(answer), &made); err != nil {
		t.Fatal(err)
	}
	return made.ID, ""
}

func (a *api) do(t *testing.T, method, path string, body any) (status int, answer string) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://docker"+path, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	got, err := a.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = got.Body.Close() }()
	said, err := io.ReadAll(io.LimitReader(got.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return got.StatusCode, string(said)
}
