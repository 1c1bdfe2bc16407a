package otlp

import (
	"maps"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/secret"
)

func TestParseRefuses(t *testing.T) {
	const hidden = "h1dden-v4lue"
	for _, c := range []struct {
		name    string
		options map[string]string // on top of a good endpoint; "-" takes it away
		secrets map[string]string
		want    string // in the error; "" = none
	}{
		{"good", nil, nil, ""},
		{"no endpoint", map[string]string{endpoint: "-"}, nil, endpoint},
		{"endpoint with user", map[string]string{endpoint: "https://u:" + hidden + "@otel.example.com"}, nil, "give credentials as options of their own"},
		{"endpoint with query", map[string]string{endpoint: "https://otel.example.com/?k=" + hidden}, nil, addressExample},
		{"endpoint without scheme", map[string]string{endpoint: "otel.example.com:4318"}, nil, "it has no scheme"},
		{"compression", map[string]string{compression: "snappy"}, nil, `"snappy" is not one of gzip, zstd, none`},
		{"timeout", map[string]string{timeout: "1h"}, nil, timeout},
		{"resource", map[string]string{resource: "a"}, nil, `"a" has no value`},
		{"severity", map[string]string{severities: "high"}, nil, "is not one of stream, level, none"},
		{"parse", map[string]string{parseJSON: "yes"}, nil, "not a boolean"},
		{"header that is the driver's", map[string]string{headers + ".content-type": "text/plain"}, nil, "the log driver's own"},
		{"header whose name is none", map[string]string{headers + ".a b": "x"}, nil, "not the name of a header"},
		{"header twice", map[string]string{headers + ".a-b": "x", headers + ".A-B": "y"}, nil, "given twice"},
		{"header of two lines", map[string]string{headers + ".a": hidden + "\r\nX: y"}, nil, "line break"},
		{"header that is JSON", map[string]string{headers + ".a": `{"t":"` + hidden + `"}`}, nil, "whole JSON secret"},
		{"header without TLS", map[string]string{endpoint: "http://otel.example.com:4318"}, map[string]string{headers + ".a": "x"}, "otlp-allow-plaintext=true"},
		{"header without TLS, allowed", map[string]string{endpoint: "http://otel.example.com:4318", "otlp-allow-plaintext": "true"}, map[string]string{headers + ".a": "x"}, ""},
		{"no header and no TLS", map[string]string{endpoint: "http://otel.example.com:4318"}, nil, ""},
		{"CA that is not there", map[string]string{"otlp-ca-cert": "/nonexistent/ca.pem"}, nil, "no such file"},
		{"key without a certificate", nil, map[string]string{"otlp-client-key": "x"}, "need each other"},
		{"everything a secret", map[string]string{endpoint: "-"}, map[string]string{endpoint: "x", compression: "x", timeout: "x", resource: "x", severities: "x", parseJSON: "x",
			headers + ".a": "x", "otlp-ca-cert": "x", "otlp-client-cert": "x", "otlp-client-key": "x"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := router.Options{Plain: map[string]string{endpoint: "https://otel.example.com:4318"}, Secrets: map[string]secret.Source{}}
			for k, v := range c.options {
				if o.Plain[k] = v; v == "-" {
					delete(o.Plain, k)
				}
			}
			for k, v := range c.secrets {
				o.Secrets[k] = routertest.NewSource(v)
			}
			_, err := Parse(o)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("Parse = %v, want %q", err, c.want)
			}
			routertest.Quiet(t, err, hidden)
		})
	}
}

// TestSecretValueIsNotShown gives each option a bad value as a secret, and looks for it in what Send and Encoder say.
func TestSecretValueIsNotShown(t *testing.T) {
	const hidden = "h1dden\n v4lue:"
	for _, o := range options {
		if o.Family {
			o.Name += ".a"
		}
		t.Run(o.Name, func(t *testing.T) {
			all := router.Options{Plain: map[string]string{}, Secrets: map[string]secret.Source{o.Name: routertest.NewSource(hidden)}}
			if o.Name != endpoint {
				all.Plain[endpoint] = "http://127.0.0.1:1"
			}
			switch o.Name {
			case "otlp-client-cert":
				all.Plain["otlp-client-key"] = "/nonexistent"
			case "otlp-client-key":
				all.Plain["otlp-client-cert"] = "/nonexistent"
			}
			c, err := Parse(all)
			if err != nil {
				routertest.Quiet(t, err, hidden, "v4lue")
				return // a file that is not there: found without the secret
			}
			if _, err = c.Encoder(t.Context(), router.Session{ContainerName: "/n", Host: "h"}); (err != nil) != o.Session {
				t.Errorf("Encoder: %v", err)
			}
			routertest.Quiet(t, err, hidden, "v4lue")
			b := &router.Batch{}
			b.Append(newEncoder(nil), &router.Record{Line: []byte("x")})
			if err = New(c).Send(t.Context(), b); err == nil {
				t.Error("Send is content with it")
			}
			routertest.Quiet(t, err, hidden, "v4lue")
		})
	}
}

// The defaults of the table are those of the code.
func TestDefaults(t *testing.T) {
	base := map[string]string{endpoint: "https://h.example"}
	for _, o := range options {
		if o.Default == "" {
			continue
		}
		given := maps.Clone(base)
		given[o.Name] = o.Default
		want, err := Parse(router.Options{Plain: base})
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(router.Options{Plain: given})
		if err != nil {
			t.Fatalf("%s=%s: %v", o.Name, o.Default, err)
		}
		a, errA := want.Encoder(t.Context(), router.Session{})
		b, errB := got.Encoder(t.Context(), router.Session{})
		r := &router.Record{Line: []byte(`{"level":"warn","a":1}`), Source: []byte("stdout")}
		if errA != nil || errB != nil || string(a.AppendRecord(nil, r)) != string(b.AppendRecord(nil, r)) {
			t.Errorf("%s=%s encodes otherwise than without it: %v, %v", o.Name, o.Default, errA, errB)
		}
		x, y := want.connection(want.options.Unresolved(), nil), got.connection(got.options.Unresolved(), nil)
		x.tls, y.tls = nil, nil // compared by its options alone
		if x != y {
			t.Errorf("%s=%s gives %+v, without it %+v", o.Name, o.Default, y, x)
		}
	}
}

// An address that came by reference is in no error.
func TestHiddenAddress(t *testing.T) {
	const host = "hidden-otel.example"
	for _, address := range []string{"https://" + host + ":1", "http://" + host, "https://127.0.0.1:1", "http://127.0.0.1:1/prefix"} {
		c, err := Parse(router.Options{Secrets: map[string]secret.Source{endpoint: routertest.NewSource(address)}})
		if err != nil {
			t.Fatal(err)
		}
		r := New(c)
		b := &router.Batch{}
		b.Append(newEncoder(nil), &router.Record{Line: []byte("x")})
		for what, err := range map[string]error{"Send": r.Send(t.Context(), b), "Verify": r.Verify(t.Context())} {
			if err == nil {
				t.Errorf("%s to %s is fine", what, address)
			}
			routertest.Quiet(t, err, host, "127.0.0.1", "/prefix")
		}
		_ = r.Close()
	}
}
