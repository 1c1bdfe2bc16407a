package logplugin

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fakeaws"
)

// The instance is looked for in the background, again while the service does not answer, and sessions wait only a moment for it.
func TestInstance(t *testing.T) {
	want := router.Instance{ID: "i-1234567890abcdef0", Zone: "eu-west-1a"}
	for _, c := range []struct {
		name     string
		failures int
		first    time.Duration   // the first answer takes so long
		later    time.Duration   // when a session asks again
		got      router.Instance // at first
		want     router.Instance
		asked    int
	}{
		{"at once", 0, 5 * time.Millisecond, 0, want, want, 1},
		{"slowly", 0, 2 * time.Second, 3 * time.Second, router.Instance{}, want, 1},
		{"after the network has come", 2, time.Millisecond, time.Minute, router.Instance{}, want, 3},
		{"never", 100, time.Millisecond, time.Hour, router.Instance{}, router.Instance{}, 1 + len(instancePauses)},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				ask := func(context.Context) (awsconf.Instance, error) {
					if asked++; asked == 1 {
						time.Sleep(c.first)
					}
					if asked <= c.failures {
						return awsconf.Instance{}, errors.New("no answer")
					}
					return awsconf.Instance(want), nil
				}
				i := instance{looked: make(chan struct{})}
				var looking sync.WaitGroup
				looking.Go(func() { i.look(t.Context(), ask, slog.New(slog.DiscardHandler)) })
				began := time.Now()
				if got := i.get(t.Context()); got != c.got || time.Since(began) > instanceWait {
					t.Errorf("at first %+v after %v, want %+v within %v", got, time.Since(began), c.got, instanceWait)
				}
				time.Sleep(c.later)
				if got := i.get(t.Context()); got != c.want {
					t.Errorf("later %+v, want %+v", got, c.want)
				}
				looking.Wait()
				if asked != c.asked {
					t.Errorf("asked %d times, want %d", asked, c.asked)
				}
			})
		})
	}
}

// With instance_metadata = false nobody asks.
func TestInstanceMetadataIsOff(t *testing.T) {
	s := server{instance: instance{looked: make(chan struct{})}}
	if s.lookForInstance(t.Context(), &config.Config{}) != nil {
		t.Error("lines name the instance, want not")
	}
	s.looking.Wait()
	select {
	case <-s.instance.looked:
		t.Error("the instance metadata service was asked")
	default:
	}
}

// Each router whose protocol has a place for them sends the instance and its zone, and what is known of the container. Without an
// instance it sends nothing of one. splunk and fluentd send what Docker's own drivers send.
func TestRoutersNameTheInstance(t *testing.T) {
	bodies := make(chan string, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			body, _ = gzip.NewReader(r.Body)
		}
		text, err := io.ReadAll(body)
		if err != nil {
			t.Error(err)
		}
		bodies <- string(text)
	}))
	defer receiver.Close()
	plain := map[string]map[string]string{
		"datadog":       {"datadog-host": receiver.URL, "datadog-api-key": "k"},
		"newrelic":      {"newrelic-endpoint": receiver.URL, "newrelic-license-key": "k"},
		"logdna":        {"logdna-url": receiver.URL, "logdna-api-key": "k"},
		"http":          {"http-url": receiver.URL},
		"otlp":          {"otlp-endpoint": receiver.URL},
		"loki":          {"loki-url": receiver.URL, "loki-encoding": "json"},
		"elasticsearch": {"elasticsearch-url": receiver.URL},
	}
	kinds := Routers()
	for name, options := range plain {
		k := kinds[slices.IndexFunc(kinds, func(k router.Kind) bool { return k.Name == name })]
		c, err := k.New(router.Options{Plain: options})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, on := range []router.Instance{{}, {ID: "i-1234567890abcdef0", Type: "t3.small", Zone: "eu-west-1a", Region: "eu-west-1", Account: "111122223333"}} {
			e, err := c.Encoder(t.Context(), router.Session{
				ID: "s", ContainerID: strings.Repeat("a", 64), ContainerName: "/web-1", Host: "host-1", Instance: on,
				About: router.About{Image: "nginx", Project: "shop", Service: "front"},
			})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			r := c.Router()
			var b router.Batch
			b.Append(e, &router.Record{TimeNano: time.Now().UnixNano(), Source: []byte("stdout"), Line: []byte("hello")})
			_ = r.Send(t.Context(), &b) // what the receiver answers is not the matter
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			body := <-bodies
			for _, want := range []string{strings.Repeat("a", 64), "web-1", "host-1", "nginx", "shop", "front"} {
				if !strings.Contains(body, want) {
					t.Errorf("%s does not send %q: %.300q", name, want, body)
				}
			}
			for _, of := range []string{"i-1234567890abcdef0", "eu-west-1a"} {
				if strings.Contains(body, of) != (on.ID != "") {
					t.Errorf("%s on instance %q: %q in %.300q", name, on.ID, of, body)
				}
			}
			if on.ID == "" && strings.Contains(body, "aws") {
				t.Errorf("%s names a cloud without one: %q", name, body)
			}
		}
	}
}

// A whole driver asks once, however often its configuration is read, and its lines name the instance until the configuration
// says otherwise.
func TestServeNamesTheInstance(t *testing.T) {
	bodies := make(chan string, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		bodies <- string(text)
	}))
	defer receiver.Close()
	d := startDriver(t, "")
	d.stop()
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", d.aws.IMDSURL)
	ended := d.serve(t)
	await(t, "the driver", func() bool { code, _ := d.run(t, "status"); return code == 0 })
	line := func(name string) string {
		f := d.fifo(t, name)
		if a := d.startWith(t, name, map[string]string{"logDriver": "http", "http-url": receiver.URL}); a != `{"Err":""}` {
			t.Fatalf("StartLogging: %s", a)
		}
		write(t, f, "hello")
		return <-bodies
	}
	if body := line("c1"); !strings.Contains(body, `"instance_id":"`+fakeaws.InstanceID+`"`) || !strings.Contains(body, `"availability_zone":"`) {
		t.Errorf("on an instance it sends %s", body)
	}
	conf := d.args[1]
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, append(text, "instance_metadata = false\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	d.reread(t)
	if body := line("c2"); strings.Contains(body, fakeaws.InstanceID) {
		t.Errorf("with instance_metadata = false it sends %s", body)
	}
	if n := d.aws.CountCalls("GET /latest/dynamic/instance-identity/document"); n != 1 {
		t.Errorf("the instance metadata service was asked %d times, want once", n)
	}
	d.cancel()
	if code := ended(); code != 0 {
		t.Errorf("the end: %d\n%s", code, d.log)
	}
}
