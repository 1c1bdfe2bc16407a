package splunk

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/secret"
)

func writeFile(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.pem")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestParseRefuses(t *testing.T) {
	const hidden = "h1dden-v4lue"
	garbage := writeFile(t, []byte(hidden))
	for _, c := range []struct {
		name    string
		options map[string]string // on top of a good URL and token; "-" takes one away
		secrets map[string]string
		want    string // in the error; "" = none
	}{
		{"good", nil, nil, ""},
		{"a slash", map[string]string{"splunk-url": "https://hec.example.com/"}, nil, ""},
		{"no URL", map[string]string{"splunk-url": "-"}, nil, "splunk-url is missing"},
		{"no token", map[string]string{"splunk-token": "-"}, nil, "splunk-token is missing"},
		{"empty token", map[string]string{"splunk-token": ""}, nil, "splunk-token is empty"},
		{"token of two lines", map[string]string{"splunk-token": hidden + "\nX: y"}, nil, "line break"},
		{"token twice", nil, map[string]string{"splunk-token": "x"}, "give it once"},
		{"URL with another path of HEC", map[string]string{"splunk-url": "https://h.example/services/collector/ack"}, nil, "after /services/collector"},
		{"timeout", map[string]string{"splunk-timeout": "500ms"}, nil, "splunk-timeout"},
		{"token that is JSON", map[string]string{"splunk-token": `{"hec":"` + hidden + `","b":1}`}, nil, "keys b, hec; name one of them at the end of the reference, as in arn:…:secret:NAME:b::"},
		{"URL with query", map[string]string{"splunk-url": "https://h.example/?token=" + hidden}, nil, "write https://HOST:8088"},
		{"URL with user", map[string]string{"splunk-url": "https://u:" + hidden + "@h.example"}, nil, "user name"},
		{"URL without scheme", map[string]string{"splunk-url": "h.example:8088"}, nil, "it has no scheme; write https://h.example:8088"},
		{"URL of another scheme", map[string]string{"splunk-url": "tcp://h.example:8088"}, nil, "write https://HOST:8088"},
		{"no URL at all", map[string]string{"splunk-url": "http://[::1" + hidden}, nil, "write https://HOST:8088"},
		{"format", map[string]string{"splunk-format": "xml"}, nil, `splunk-format: "xml" is not one of inline, json, raw`},
		{"gzip", map[string]string{"splunk-gzip": "maybe"}, nil, `splunk-gzip: "maybe"`},
		{"level 10", map[string]string{"splunk-gzip-level": "10"}, nil, "from -1 to 9"},
		{"level -2", map[string]string{"splunk-gzip-level": "-2"}, nil, "from -1 to 9"},
		{"level word", map[string]string{"splunk-gzip-level": "best"}, nil, "from -1 to 9"},
		{"verify", map[string]string{"splunk-verify-connection": "2"}, nil, "splunk-verify-connection"},
		{"skip", map[string]string{"splunk-insecureskipverify": ""}, nil, "splunk-insecureskipverify"},
		{"ack", map[string]string{"splunk-index-acknowledgment": "on"}, nil, "splunk-index-acknowledgment"},
		{"two CAs", map[string]string{"splunk-capath": "/a", "splunk-ca-cert": "/b"}, nil, "splunk-capath and splunk-ca-cert"},
		{"cert without key", map[string]string{"splunk-client-cert": "x"}, nil, "need each other"},
		{"key as a secret without cert", nil, map[string]string{"splunk-client-key": "x"}, "need each other"},
		{"CA that is not there", map[string]string{"splunk-capath": "/nonexistent/ca.pem"}, nil, "no such file"},
		{"CA that is a directory", map[string]string{"splunk-capath": "/etc"}, nil, "not a file"},
		{"CA that is garbage", map[string]string{"splunk-capath": garbage}, nil, "no PEM certificate"},
		{"CA that is neither", map[string]string{"splunk-ca-cert": hidden}, nil, "neither PEM text nor an absolute path"},
		{"key that is garbage", map[string]string{"splunk-client-cert": garbage, "splunk-client-key": garbage}, nil, "not a PEM certificate"},
		{"everything a secret", map[string]string{"splunk-url": "-", "splunk-token": "-"}, map[string]string{"splunk-url": "x", "splunk-token": "x",
			"splunk-gzip": "x", "splunk-gzip-level": "x", "splunk-ca-cert": "x", "splunk-client-cert": "x", "splunk-client-key": "x", "splunk-format": "x"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := router.Options{Plain: map[string]string{"splunk-url": "https://hec.example.com:8088", "splunk-token": "t"}, Secrets: map[string]secret.Source{}}
			for k, v := range c.options {
				if o.Plain[k] = v; v == "-" {
					delete(o.Plain, k)
				}
			}
			for k, v := range c.secrets {
				o.Secrets[k] = routertest.NewSource(v)
			}
			_, err := Kind().New(o)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("Parse = %v, want %q", err, c.want)
			}
			routertest.Quiet(t, err, hidden)
		})
	}
}

// TestSecretValueIsNotShown gives each option a bad value as a secret, and looks for it in what Send and NewEncoder say.
// Where each batch waits for the indexers, more of them are under way.
func TestBatches(t *testing.T) {
	for value, want := range map[string]int{"": 0, "false": 0, "true": acknowledgedBatches} {
		plain := map[string]string{"splunk-url": "https://hec.example.com:8088", "splunk-token": "t"}
		if value != "" {
			plain["splunk-index-acknowledgment"] = value
		}
		c, err := Kind().New(router.Options{Plain: plain})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Batches(); got != want {
			t.Errorf("splunk-index-acknowledgment %q: %d batches, want %d", value, got, want)
		}
	}
}

func TestSecretValueIsNotShown(t *testing.T) {
	const hidden = "h1dden v4lue"
	for _, o := range options {
		t.Run(o.Name, func(t *testing.T) {
			all := router.Options{Plain: map[string]string{}, Secrets: map[string]secret.Source{o.Name: routertest.NewSource(hidden)}}
			for k, v := range map[string]string{"splunk-url": "http://127.0.0.1:1", "splunk-token": "t"} {
				if k != o.Name {
					all.Plain[k] = v
				}
			}
			switch o.Name {
			case "splunk-client-cert":
				all.Plain["splunk-client-key"] = "/nonexistent"
			case "splunk-client-key":
				all.Plain["splunk-client-cert"] = "/nonexistent"
			}
			c, err := Kind().New(all)
			if err != nil {
				return // a file that is not there: found without the secret
			}
			b := &router.Batch{Body: []byte("{}"), Ends: []int{2}}
			err = c.Router().Send(t.Context(), b)
			if err == nil {
				t.Error("Send is content with it")
			}
			routertest.Quiet(t, err, hidden, "v4lue")
			_, err = c.Encoder(t.Context(), router.Session{})
			if (err != nil) != (o.Name == "splunk-format") {
				t.Errorf("NewEncoder: %v", err)
			}
			routertest.Quiet(t, err, hidden, "v4lue")
		})
	}
}

// The defaults of the table are those of the code.
func TestDefaults(t *testing.T) {
	base := map[string]string{"splunk-url": "https://h.example", "splunk-token": "t"}
	for _, o := range options {
		if o.Default == "" {
			continue
		}
		given := maps.Clone(base)
		given[o.Name] = o.Default
		want := connectionOf(router.Options{Plain: base}.Unresolved(), nil)
		v := router.Options{Plain: given}.Unresolved()
		got := connectionOf(v, nil)
		want.tls, got.tls = nil, nil // compared by its option alone
		if v.Err() != nil || !reflect.DeepEqual(got, want) || o.Name == "splunk-format" && o.Default != formats[0] || o.Name == "splunk-insecureskipverify" && o.Default != "false" {
			t.Errorf("%s=%s gives %+v, %v, without it %+v", o.Name, o.Default, got, v.Err(), want)
		}
	}
}
