//go:build integration

package integration

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin"
	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/shared/rig"
)

// arrival is what a receiver has seen of one container.
type arrival struct {
	tag      string   // as http-header-tag gives it
	encoding string   // of the body
	members  []string // of the record, besides those that each has; for loki, also the labels of the stream
}

func (a arrival) String() string {
	return fmt.Sprintf("tag %s, encoding %q, %s", a.tag, a.encoding, strings.Join(a.members, " "))
}

// arrivals is a receiver over HTTP and over TCP. It keeps the lines of each container.
type arrivals struct {
	web *httptest.Server
	raw net.Listener

	mu  sync.Mutex
	all map[string]arrival
}

func newArrivals(t *testing.T) *arrivals {
	t.Helper()
	a := &arrivals{all: map[string]arrival{}}
	a.web = httptest.NewServer(a)
	t.Cleanup(a.web.Close)
	var err error
	if a.raw, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	t.Cleanup(func() { a.raw.Close(); done.Wait() })
	done.Go(func() {
		for {
			conn, err := a.raw.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(t.Context(), func() { conn.Close() })
			done.Go(func() {
				defer stop()
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					if fields := strings.Fields(lines.Text()); len(fields) > 3 { // the fourth of RFC 5424 is the program
						a.keep(fields[3], arrival{encoding: "syslog over TCP"})
					}
				}
			})
		}
	})
	return a
}

func (a *arrivals) keep(name string, x arrival) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all[name] = x
}

func (a *arrivals) of(name string) (arrival, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	x, ok := a.all[name]
	return x, ok
}

func (a *arrivals) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := arrival{tag: r.Header.Get("X-Tag"), encoding: r.Header.Get("Content-Encoding")}
	body := io.Reader(r.Body)
	if x.encoding == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = z
	}
	var document any
	if err := json.NewDecoder(io.LimitReader(body, 1<<20)).Decode(&document); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var members map[string]any
	switch d := document.(type) {
	case []any: // records
		members, _ = d[0].(map[string]any)
	case map[string]any: // a push to loki
		stream, _ := d["streams"].([]any)[0].(map[string]any)
		members, _ = stream["stream"].(map[string]any)
		line, _ := stream["values"].([]any)[0].([]any)[1].(string)
		if err := json.Unmarshal([]byte(line), &members); err != nil { // besides the labels
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !slices.Contains([]string{"container_id", "container_name", "source", "log", "date", "service_name"}, name) {
			x.members = append(x.members, fmt.Sprintf("%s=%v", name, members[name]))
		}
	}
	a.keep(strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/"), "/push"), x)
	w.WriteHeader(http.StatusNoContent)
}

// ofDaemon are the options that one of the daemons has for all containers, as log-opts of daemon.json.
var ofDaemon = map[string]string{
	"mode": "non-blocking", "max-buffer-size": "4m", "labels": "team", "labels-regex": "^tier", "env": "COLOR", "env-regex": "^SIZE", "tag": "daemon/{{.Name}}",
	"max-size": "10m", "max-file": "2", "compress": "true", "cache-disabled": "false", "cache-max-size": "10m", "cache-max-file": "2", "cache-compress": "false",
}

// collision is a container with an option whose name Docker and the log driver, or an output of FireLens, both know.
type collision struct {
	own            []string
	plain, merged  string // what arrives from the daemon without options, and from that with ofDaemon; NAME is the container's
	refused, later string // by the daemon itself, without options and with ofDaemon
	run            bool   // the container is started; otherwise what the daemon would give to the driver is read
}

const (
	bare   = "tag NAME-firelens-ID, encoding \"\", "
	daemon = "tag daemon/NAME, encoding \"\", "
	picked = "COLOR=red SIZE=big team=blue tier=front"
)

// collisions has a row for each such name.
func collisions() map[string]collision {
	const nonBlocking, raw = "only supported with 'mode=non-blocking'", "tag , encoding \"syslog over TCP\", "
	same := func(own ...string) collision { return collision{own: own, plain: bare, merged: daemon + picked} }
	zipped := collision{plain: `tag NAME-firelens-ID, encoding "gzip", `, merged: `tag daemon/NAME, encoding "gzip", ` + picked}
	of := func(c collision, own ...string) collision { c.own, c.run = own, true; return c }
	return map[string]collision{
		"nothing":         of(same()),
		"mode":            same("mode=non-blocking"),
		"mode-blocking":   {own: []string{"mode=blocking"}, plain: bare, later: nonBlocking},
		"mode-output":     {own: []string{"mode=tcp"}, refused: "logging mode not supported: tcp", later: "logging mode not supported: tcp"},
		"mode-capital":    of(collision{plain: raw, merged: raw}, "Name=syslog", "Mode=tcp", "syslog_appname_preset=${CONTAINER_NAME}"),
		"max-buffer-size": same("mode=non-blocking", "max-buffer-size=1m"),
		"max-buffer-mode": {own: []string{"max-buffer-size=1m"}, refused: nonBlocking, merged: daemon + picked},
		"max-size":        same("max-size=1m"),
		"max-file":        same("max-file=3"),
		"compress-true":   same("compress=true"),
		"compress-false":  same("compress=false"),
		"compress-gzip":   of(zipped, "compress=gzip"),
		"compress-upper":  of(zipped, "Compress=gzip"),
		"cache-disabled":  same("cache-disabled=true"),
		"cache-max-size":  same("cache-max-size=1m"),
		"cache-max-file":  same("cache-max-file=3"),
		"cache-compress":  same("cache-compress=true"),
		"tag":             {own: []string{"tag=own/{{.Name}}"}, plain: `tag own/NAME, encoding "", `, merged: `tag own/NAME, encoding "", ` + picked},
		"tag-empty":       {own: []string{"tag="}, plain: bare, merged: bare + picked},
		"labels":          {own: []string{"labels=tier"}, plain: bare + "tier=front", merged: daemon + "COLOR=red SIZE=big tier=front"},
		"labels-empty":    {own: []string{"labels="}, plain: bare, merged: daemon + "COLOR=red SIZE=big tier=front"},
		"labels-regex":    {own: []string{"labels-regex=^nothing"}, plain: bare, merged: daemon + "COLOR=red SIZE=big team=blue"},
		"env":             {own: []string{"env=SIZE"}, plain: bare + "SIZE=big", merged: daemon + "SIZE=big team=blue tier=front"},
		"env-regex":       {own: []string{"env-regex=^nothing"}, plain: bare, merged: daemon + "COLOR=red team=blue tier=front"},
		"labels-loki":     of(collision{plain: ofLoki + "job=x", merged: ofLoki + "COLOR=red SIZE=big job=x tier=front"}, "Name=loki", "labels=job=x"),
		"labels-upper":    of(collision{plain: ofLoki + "job=x", merged: ofLoki + "COLOR=red SIZE=big job=x team=blue tier=front"}, "Name=loki", "Labels=job=x"),
	}
}

const ofLoki = `tag , encoding "gzip", `

// Names that Docker has too, tried with a daemon that has nothing for all containers, and with one whose daemon.json has all of them:
// which of the two meanings an option has is the same with both, and what the daemon merges in does not get in the way of the output.
func TestCollisionsWithTheDaemon(t *testing.T) {
	t.Parallel() // it waits for a daemon of its own
	w := newWorld(t, worldOptions{})
	to := newArrivals(t)
	args := []string{"--log-driver", w.name} // as in daemon.json
	for _, name := range slices.Sorted(maps.Keys(ofDaemon)) {
		args = append(args, "--log-opt", name+"="+ofDaemon[name])
	}
	d := rig.Use(t, rig.StartDockerd, rig.DockerdOptions{Args: args})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := d.Import(ctx, "talker", programs.talker); err != nil {
		t.Fatal(err)
	}
	t.Run("side by side", func(t *testing.T) {
		for name, c := range collisions() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				c.try(t, shared, w.name, to, "plain-"+name, c.plain, c.refused)
			})
			t.Run(name+", merged", func(t *testing.T) {
				t.Parallel()
				c.try(t, d, w.name, to, "merged-"+name, c.merged, c.later)
			})
		}
	})
	w.gone()
}

// options are all log options of one container, with those of its output.
func (c collision) options(to *arrivals, name string) map[string]string {
	all := map[string]string{"logDriver": "awsfirelens", "Name": "http", "Host": "127.0.0.1"}
	for _, o := range c.own {
		option, value, _ := strings.Cut(o, "=")
		all[option] = value
	}
	address := to.web.Listener.Addr()
	switch all["Name"] {
	case "syslog":
		address = to.raw.Addr()
	case "loki":
		all["uri"] = "/" + name + "/push"
	default:
		all["URI"], all["header_tag"] = "/"+name, "X-Tag"
	}
	_, all["Port"], _ = strings.Cut(address.String(), ":")
	return all
}

// try makes one container, and looks at what arrives of it or at what the daemon says.
func (c collision) try(t *testing.T, d *rig.Dockerd, driver string, to *arrivals, name, want, refused string) {
	t.Helper()
	engine := engineOf(t, d)
	var created struct{ ID, Message string }
	engine.call("POST", "/containers/create?name="+name, map[string]any{
		"Image": "talker", "Cmd": []string{"-n", "1"}, "Env": []string{"COLOR=red", "SIZE=big"}, "Labels": map[string]string{"team": "blue", "tier": "front"},
		"HostConfig": map[string]any{"NetworkMode": "none", "LogConfig": map[string]any{"Type": driver, "Config": c.options(to, name)}},
	}, &created)
	if refused != "" {
		if created.ID != "" || !strings.Contains(created.Message, refused) {
			t.Errorf("the daemon says %q, want %q", created.Message, refused)
		}
		return
	}
	if created.ID == "" {
		t.Fatalf("the daemon refuses it: %s", created.Message)
	}
	t.Cleanup(func() { engine.call("DELETE", "/containers/"+name+"?force=true", nil, nil) })
	var got arrival
	if c.run {
		engine.call("POST", "/containers/"+name+"/start", nil, nil)
		until(t, 60*time.Second, "a line of "+name, func() (ok bool) { got, ok = to.of(name); return ok })
	} else {
		got = engine.wouldArrive(name)
	}
	wanted := strings.NewReplacer("NAME-firelens-ID", name+"-firelens-"+created.ID[:12], "NAME", name).Replace(want)
	if got.String() != wanted {
		t.Errorf("%q arrive as\n%s, want\n%s", c.own, got, wanted)
	}
}

// engine is the API of a daemon.
type engine struct {
	t      *testing.T
	client *http.Client
}

func engineOf(t *testing.T, d *rig.Dockerd) engine {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", strings.TrimPrefix(d.Host(), "unix://"))
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return engine{t, &http.Client{Transport: transport, Timeout: 30 * time.Second}}
}

// call sends a request, and reads the answer into out.
func (e engine) call(method, path string, in, out any) {
	e.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		e.t.Fatal(err)
	}
	if in == nil {
		body = nil
	}
	r, err := http.NewRequestWithContext(context.WithoutCancel(e.t.Context()), method, "http://engine"+path, bytes.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := e.client.Do(r)
	if err != nil {
		e.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	switch {
	case err != nil:
		e.t.Fatal(err)
	case out != nil:
		if err := json.Unmarshal(text, out); err != nil {
			e.t.Fatal(err)
		}
	case answer.StatusCode >= http.StatusBadRequest:
		e.t.Fatalf("%s %s: %s", method, path, text)
	}
}

// wouldArrive says what would arrive of a container, by the options that the daemon has kept for it.
func (e engine) wouldArrive(name string) arrival {
	e.t.Helper()
	var c struct {
		ID         string
		Config     struct{ Labels map[string]string }
		HostConfig struct {
			LogConfig struct{ Config map[string]string }
		}
	}
	e.call("GET", "/containers/"+name+"/json", nil, &c)
	rules := &options.Rules{Kinds: logplugin.Routers()}
	o, err := rules.Parse(c.HostConfig.LogConfig.Config, options.Info{
		ContainerID: c.ID, ContainerName: "/" + name, ContainerLabels: c.Config.Labels, ContainerEnv: options.NewEnv("COLOR=red", "SIZE=big"),
	})
	if err != nil {
		e.t.Fatal(err)
	}
	x := arrival{tag: o.Tag, encoding: o.Plain["http-compress"]}
	for _, member := range slices.Sorted(maps.Keys(o.Attributes)) {
		x.members = append(x.members, member+"="+o.Attributes[member])
	}
	return x
}
