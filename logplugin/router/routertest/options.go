package routertest

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/shared/secret"
)

// Session is that of a container with this name.
func Session(name string) router.Session {
	return router.Session{ContainerName: "/" + name, ContainerID: strings.Repeat(name[:1], 64), Host: "host"}
}

// Send sends b and returns the error as what it must be. It shows none of the secrets.
func Send(t *testing.T, r router.Router, b *router.Batch, secrets ...string) *router.Error {
	t.Helper()
	err := r.Send(t.Context(), b)
	var e *router.Error
	if err != nil && !errors.As(err, &e) {
		t.Fatalf("Send gives %T, want *router.Error", err)
	}
	Quiet(t, err, secrets...)
	return e
}

// Deliver sends b until nothing of it is to be sent again, as package delivery does, without its pauses. It returns the classes of the
// failures, and ends the test when there are more than most.
func Deliver(t *testing.T, r router.Router, b *router.Batch, most int, secrets ...string) (failures []router.Class) {
	t.Helper()
	for b.Len() > 0 {
		e := Send(t, r, b, secrets...)
		if e == nil {
			return failures
		}
		if failures = append(failures, e.Class); len(failures) > most {
			t.Fatalf("%d records are not delivered after %d failures: %v", b.Len(), len(failures), e)
		}
		gone := make([]bool, b.Len())
		for i := range gone {
			at := i - e.Delivered
			gone[i] = at < 0 || at < len(e.Outcomes) && e.Outcomes[at] != router.Again
		}
		b.Remove(0, gone)
	}
	return failures
}

// ClassOf returns the class of what Send has returned; "" = it was delivered.
func ClassOf(e *router.Error) router.Class {
	if e == nil {
		return ""
	}
	return e.Class
}

// Refuses wants the kind to refuse good with options on top, of which "-" takes one away, and with these secrets, in an error that has
// want in it and not hidden. A want of "" means that it takes them.
func Refuses(t *testing.T, kind router.Kind, good, options, secrets map[string]string, want, hidden string) {
	t.Helper()
	o := router.Options{Plain: maps.Clone(good), Secrets: map[string]secret.Source{}}
	for name, value := range options {
		if o.Plain[name] = value; value == "-" {
			delete(o.Plain, name)
		}
	}
	for name, value := range secrets {
		o.Secrets[name] = NewSource(value)
	}
	_, err := kind.New(o)
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
	Quiet(t, err, hidden)
}

// Addresses wants the kind to read these addresses from the options, and the options to be without a mistake.
func Addresses(t *testing.T, kind router.Kind, options map[string]string, want ...string) {
	t.Helper()
	v := router.Options{Plain: options}.Unresolved()
	var got []string
	for _, a := range kind.Addresses(v) {
		got = append(got, a.String())
	}
	if !slices.Equal(got, want) || v.Err() != nil {
		t.Errorf("%v: %q, %v; want %q", options, got, v.Err(), want)
	}
}

// SecretsAreNotShown gives each option a bad value as a secret, and looks for it in what the encoder and Send say. good are the
// options besides; with has more of them for an option that needs another, and "-" for those that it does without. bad says
// which options the encoder refuses.
func SecretsAreNotShown(t *testing.T, kind router.Kind, good map[string]string, with map[string]map[string]string, bad func(router.Option) bool) {
	const hidden = "h1dden v4lue:"
	for _, o := range kind.Options {
		if o.Ignored {
			continue
		}
		option := o.Name
		if o.Family {
			option += ".a"
		}
		t.Run(option, func(t *testing.T) {
			all := router.Options{Plain: maps.Clone(good), Secrets: map[string]secret.Source{option: NewSource(hidden)}}
			delete(all.Plain, option)
			for name, value := range with[option] {
				if all.Plain[name] = value; value == "-" {
					delete(all.Plain, name)
				}
			}
			c, err := kind.New(all)
			if err != nil {
				Quiet(t, err, hidden, "v4lue")
				return // a file that is not there: found without the secret
			}
			e, err := c.Encoder(t.Context(), Session("n"))
			if (err != nil) != bad(o) {
				t.Errorf("Encoder: %v", err)
			}
			Quiet(t, err, hidden, "v4lue")
			if e == nil {
				e = goodEncoder(t, kind, good)
			}
			b := &router.Batch{}
			b.Append(e, &router.Record{Line: []byte("x")})
			r := c.Router()
			t.Cleanup(func() { _ = r.Close() })
			if err = r.Send(t.Context(), b); err == nil {
				t.Error("Send is content with it")
			}
			Quiet(t, err, hidden, "v4lue")
		})
	}
}

func goodEncoder(t testing.TB, kind router.Kind, options map[string]string) router.Encoder {
	t.Helper()
	_, e := newEncoder(t, kind, options)
	return e
}

func newEncoder(t testing.TB, kind router.Kind, options map[string]string) (router.Config, router.Encoder) {
	t.Helper()
	c, err := kind.New(router.Options{Plain: options})
	if err != nil {
		t.Fatal(err)
	}
	e, err := c.Encoder(t.Context(), Session("web"))
	if err != nil {
		t.Fatal(err)
	}
	return c, e
}

// HiddenAddress wants an address that came by reference, as the option name, in no error of Send and Verify. hidden are the parts of
// the addresses that must not be seen.
func HiddenAddress(t *testing.T, kind router.Kind, good map[string]string, name string, addresses []string, hidden ...string) {
	for _, address := range addresses {
		options := maps.Clone(good)
		for _, o := range kind.Options {
			if o.Address {
				delete(options, o.Name)
			}
		}
		c, err := kind.New(router.Options{Plain: options, Secrets: map[string]secret.Source{name: NewSource(address)}})
		if err != nil {
			t.Fatal(err)
		}
		r := c.Router()
		b := &router.Batch{}
		b.Append(goodEncoder(t, kind, good), &router.Record{Line: []byte("x")})
		said := map[string]error{"Send": r.Send(t.Context(), b)}
		if v, ok := r.(router.Verifier); ok {
			said["Verify"] = v.Verify(t.Context())
		}
		for what, err := range said {
			if err == nil {
				t.Errorf("%s to %s is fine", what, address)
			}
			Quiet(t, err, hidden...)
		}
		_ = r.Close()
	}
}

// Defaults wants each option that is given as its default says to change nothing: neither what an encoder writes nor what
// connection reads of the options. base are the options besides.
func Defaults(t *testing.T, kind router.Kind, base map[string]string, connection func(*router.Values) any) {
	t.Helper()
	_, e := newEncoder(t, kind, base)
	r := &router.Record{Line: []byte(`{"level":"warn","a":1}`), Source: []byte("stdout")}
	want, wantConnection := string(e.AppendRecord(nil, r)), connection(router.Options{Plain: base}.Unresolved())
	for _, o := range kind.Options {
		if o.Default == "" {
			continue
		}
		given := maps.Clone(base)
		given[o.Name] = strings.ReplaceAll(o.Default, "{{.Name}}", "web")
		_, e := newEncoder(t, kind, given)
		if got := string(e.AppendRecord(nil, r)); got != want {
			t.Errorf("%s=%s gives %s, without it %s", o.Name, o.Default, got, want)
		}
		if got := connection(router.Options{Plain: given}.Unresolved()); !reflect.DeepEqual(got, wantConnection) {
			t.Errorf("%s=%s gives %+v, without it %+v", o.Name, o.Default, got, wantConnection)
		}
	}
}

// EncoderAllocs wants an encoder with these options to allocate nothing for any of the lines.
func EncoderAllocs(t *testing.T, kind router.Kind, options map[string]string, lines ...string) {
	t.Helper()
	e := goodEncoder(t, kind, options)
	buf := make([]byte, 0, 4096)
	for _, line := range lines {
		r := &router.Record{TimeNano: 1795463301547679123, Source: []byte("stderr"), Line: []byte(line)}
		if n := testing.AllocsPerRun(1000, func() { buf = e.AppendRecord(buf[:0], r) }); n != 0 {
			t.Errorf("%v: AppendRecord of %q allocates %v times, want 0", options, line, n)
		}
	}
}

// BenchSend encodes and sends lines of 100 bytes to a server in the same process that throws them away and answers with answer,
// once for each of the ways. options are those of a way to send to url. One op is one line.
func BenchSend(b *testing.B, kind router.Kind, perBatch int, answer func(http.ResponseWriter), ways []string, options func(url, way string) map[string]string) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		answer(w)
	}))
	defer server.Close()
	for _, way := range ways {
		b.Run(way, func(b *testing.B) {
			c, e := newEncoder(b, kind, options(server.URL, way))
			benchSend(b, c, e, perBatch)
		})
	}
}
