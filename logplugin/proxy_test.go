package logplugin

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/polltest"
	"github.com/secretref/secretref/shared/rig"
)

const (
	proxyUser     = "user"
	proxyPassword = "pr0xy-passw0rd"
)

// tunnels is an HTTP proxy that wants a user and a password. All its tunnels lead to one receiver.
type tunnels struct {
	*httptest.Server
	to string // HOST:PORT

	mu    sync.Mutex
	asked []string // the targets, in order
}

func startTunnels(t *testing.T, to string) *tunnels {
	x := &tunnels{to: strings.TrimPrefix(to, "https://")}
	x.Server = httptest.NewServer(x)
	t.Cleanup(x.Close)
	return x
}

// ServeHTTP makes a tunnel.
func (x *tunnels) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x.mu.Lock()
	x.asked = append(x.asked, r.Host)
	x.mu.Unlock()
	if r.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte(proxyUser+":"+proxyPassword)) {
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	routertest.TunnelTo(x.to)(w, r)
}

func (x *tunnels) targets() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.asked)
}

// url is the value of HTTPS_PROXY.
func (x *tunnels) url(password string) string {
	return strings.Replace(x.URL, "http://", "http://"+proxyUser+":"+password+"@", 1)
}

// route is how a router over HTTP is given its receiver: the option of the address, that of the credential, "" = it is the host's, and
// what it needs besides.
type route struct{ address, credential, name, value string }

// proxied are those of all routers over HTTP.
func proxied(t *testing.T) map[string]route {
	t.Helper()
	all := map[string]route{
		"splunk": {"splunk-url", "splunk-token", "", ""}, "loki": {"loki-url", "loki-bearer-token", "", ""}, "otlp": {"otlp-endpoint", "otlp-headers.Authorization", "", ""},
		"datadog": {"datadog-host", "datadog-api-key", "", ""}, "newrelic": {"newrelic-endpoint", "newrelic-license-key", "", ""}, "logdna": {"logdna-url", "logdna-api-key", "", ""},
		"http": {"http-url", "http-bearer-token", "", ""}, "elasticsearch": {"elasticsearch-url", "elasticsearch-api-key", "", ""},
		"awslogs": {"awslogs-endpoint", "", "awslogs-group", "app"}, "firehose": {"firehose-endpoint", "", "firehose-stream", "app"},
		"kinesis": {"kinesis-endpoint", "", "kinesis-stream", "app"}, "s3": {"s3-endpoint", "", "s3-bucket", "app"},
	}
	for _, k := range Routers() {
		if _, here := all[k.Name]; k.Ports["https"] != "" && !here {
			t.Errorf("the router %s is not tried with a proxy", k.Name)
		}
	}
	return all
}

// filesWith returns the files below a directory that hold a text.
func filesWith(t *testing.T, dir, text string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(text)) {
			found = append(found, path)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // the driver works in it
		t.Fatal(err)
	}
	return found
}

// Every router over HTTP goes through the proxy of the environment, with its user and password, and NO_PROXY is obeyed. allow_routers is about the
// receiver alone. No message has the password, and no file of the state.
func TestRoutersUseTheProxy(t *testing.T) {
	ca, err := rig.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	all := proxied(t)
	for name := range all {
		names = append(names, name+".example.com")
	}
	server, err := ca.ServerConfig(names...)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	seen := map[string]bool{}
	receiver := routertest.StartReceiver(routertest.ReceiverOptions{TLS: server, Handle: func(w http.ResponseWriter, r *http.Request, _ []byte) {
		mu.Lock()
		defer mu.Unlock()
		seen[r.Host] = true
		w.WriteHeader(http.StatusServiceUnavailable) // the lines wait for what comes next
	}})
	t.Cleanup(receiver.Close)
	proxy := startTunnels(t, receiver.URL())
	env := func(password string) []string {
		return []string{"HTTPS_PROXY=" + proxy.url(password), "HTTP_PROXY=", "NO_PROXY=.direct.example.com", "no_proxy="}
	}
	k := startKillableWith(t, `allow_routers = ["https://*.example.com:8443", "https://*.direct.example.com:8443", "arn:aws:logs:*:*:log-group:*", "arn:aws:firehose:*:*:deliverystream/*", "arn:aws:kinesis:*:*:stream/*", "arn:aws:s3:::*"]`+"\n", env(proxyPassword)...)
	plain := slices.Clone(k.env[:len(k.env)-len(env(""))])
	begin := func(container, name, host string) string {
		f := k.fifo(t, container)
		r := all[name]
		options := map[string]string{"logDriver": name, r.address: "https://" + host + ":8443", name + "-ca-cert": string(ca.PEM()), name + "-timeout": "2s"}
		if r.credential != "" {
			options["secretOptions."+r.credential] = k.reference
		}
		if r.name != "" {
			options[r.name] = r.value
		}
		if name == "s3" {
			options["s3-upload-timeout"] = "1s"
		}
		a := k.startWith(t, container, options)
		put(t, f, time.Now(), "a line")
		return a
	}
	for i, name := range slices.Sorted(maps.Keys(all)) {
		if a := begin(fmt.Sprintf("%02d", i), name, name+".example.com"); a != `{"Err":""}` {
			t.Fatalf("%s: %s", name, a)
		}
		if a := begin(fmt.Sprintf("x%02d", i), name, name+".example.net"); !strings.Contains(a, "containers may not send there") {
			t.Errorf("%s, to a receiver that allow_routers does not have: %s", name, a)
		}
		if a := begin(fmt.Sprintf("d%02d", i), name, name+".direct.example.com"); a != `{"Err":""}` {
			t.Fatalf("%s: %s", name, a)
		}
	}
	waits := func(what, container, text string) {
		t.Helper()
		polltest.Until(t, 60*time.Second, what+" of "+container, func() bool { return strings.Contains(k.sessionOf(t, container).LastError, text) })
	}
	for i, name := range slices.Sorted(maps.Keys(all)) {
		waits("the answer of the receiver", fmt.Sprintf("%02d", i), "503")
		mu.Lock()
		if !seen[name+".example.com:8443"] {
			t.Errorf("%s does not come through the proxy: %v", name, seen)
		}
		mu.Unlock()
		waits("an error", fmt.Sprintf("d%02d", i), name+".direct.example.com")
	}
	for _, host := range proxy.targets() {
		if strings.Contains(host, ".direct.") || strings.Contains(host, "example.net") {
			t.Errorf("the proxy was asked for %s", host)
		}
	}
	const another = "an0ther-passw0rd"
	k.kill()
	k.env = slices.Concat(plain, env(another))
	k.launch(t)
	for i := range len(all) {
		waits("a word about the password", fmt.Sprintf("%02d", i), "the proxy in HTTPS_PROXY wants a user and a password: write both into its URL")
	}
	_, status := k.run(t, "status", "--json")
	for _, password := range []string{proxyPassword, another} {
		if strings.Contains(status+k.log.String(), password) {
			t.Errorf("status or the log shows the password %s of the proxy", password)
		}
		if found := filesWith(t, k.state(), password); len(found) > 0 {
			t.Errorf("the password %s of the proxy is in %q", password, found)
		}
	}
}
