package s3

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/awsrouter"
	"github.com/secretref/secretref/logplugin/awsrouter/awstest"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

// setup is a bucket and a router to it.
type setup struct {
	server   *awstest.Objects
	home     *awstest.Home
	router   router.Router
	encoders []router.Encoder
}

func start(t testing.TB, options map[string]string) *setup {
	t.Helper()
	u := &setup{server: awstest.StartS3("logs"), home: awstest.NewHome(t)}
	t.Cleanup(u.server.Close)
	all := map[string]string{bucket: "logs", format: raw}
	for name, value := range options {
		all[name] = value
	}
	c, err := Kind(awsrouter.NewHost(u.home.Session(u.server.URL()))).New(router.Options{Plain: all})
	if err != nil {
		t.Fatal(err)
	}
	u.router = c.Router()
	t.Cleanup(func() { _ = u.router.Close() })
	for _, name := range []string{"one", "two"} {
		session := routertest.Session(name)
		session.ID, session.Tag, session.Attrs = "session-"+name, name, map[string]string{"team": "a"}
		e, err := c.Encoder(t.Context(), session)
		if err != nil {
			t.Fatal(err)
		}
		u.encoders = append(u.encoders, e)
	}
	return u
}

func TestSuite(t *testing.T) {
	for _, word := range []string{noneEncoding, router.Gzip} {
		t.Run(word, func(t *testing.T) {
			routertest.Run(t, func(t *testing.T) *routertest.Subject {
				u := start(t, map[string]string{compression: word})
				return &routertest.Subject{
					Router: u.router, Encoders: u.encoders, Secrets: []string{awstest.Old.Secret, awstest.New.Secret}, Received: u.server.Sent,
					Faults: u.server.StatusFaults(awstest.Old.Secret),
					Hang:   func() { u.server.FailAlways(&routertest.Mishap{Hang: true}) },
					Heal:   func() { u.server.FailAlways(nil) },
					Rotate: func() { u.server.SetKey(awstest.New); u.home.Write(awstest.New) },
				}
			})
		})
	}
}

func TestPeers(t *testing.T) {
	routertest.Peers(t, func(t *testing.T) *routertest.Peer {
		u := start(t, map[string]string{"s3-timeout": "1s"})
		return &routertest.Peer{Router: u.router, Receiver: u.server.Receiver, Encoders: u.encoders, Secret: awstest.Old.Secret}
	})
}

// What is stored is what was sent: an object for each container, whose key has the time of its first line.
func TestObjects(t *testing.T) {
	lines := []string{"plain", "", "é€😀", `"quoted" \ back`, "\x00\x01\t", "bad \xff bytes"}
	for _, word := range []string{noneEncoding, router.Gzip, router.Zstd, router.Snappy} {
		u := start(t, map[string]string{format: jsonLines, compression: word, contentMD5: "true", contentType: "application/x-ndjson", storageClass: "STANDARD_IA",
			cannedACL: "bucket-owner-full-control", keyFormat: "/a b/$TAG/%Y+%m"})
		b := &router.Batch{}
		for _, e := range u.encoders {
			for i, l := range lines {
				b.Append(e, &router.Record{TimeNano: 1795428000_123456789 + int64(i), Position: int64(i), Source: []byte("stderr"), Line: []byte(l)})
			}
		}
		if e := routertest.Send(t, u.router, b); e != nil {
			t.Fatal(e)
		}
		stored := u.server.Stored()
		if len(stored) != 2 {
			t.Fatalf("%d objects, want 2", len(stored))
		}
		for i, o := range stored {
			name := []string{"one", "two"}[i]
			if want := "a b/" + name + "/2026+11-object" + uuidOf("session-"+name, 1795428000_123456789, 0); o.Key != want {
				t.Errorf("key %q, want %q", o.Key, want)
			}
			for header, want := range map[string]string{"Content-Type": "application/x-ndjson", "X-Amz-Storage-Class": "STANDARD_IA", "X-Amz-Acl": "bucket-owner-full-control",
				"Content-Encoding": strings.TrimPrefix(word, noneEncoding)} {
				if got := o.Header.Get(header); got != want {
					t.Errorf("%s: %q, want %q", header, got, want)
				}
			}
			var got []string
			for line := range strings.Lines(o.Body) {
				var r map[string]string
				if err := json.Unmarshal([]byte(line), &r); err != nil || r["container_name"] != "/"+name || r["source"] != "stderr" || r["team"] != "a" || r["date"] != "2026-11-23T10:00:00.123456Z" {
					t.Errorf("record %q, %v", line, err)
				}
				got = append(got, r["log"])
			}
			if want := append(slices.Clone(lines[:5]), "bad \ufffd bytes"); !slices.Equal(got, want) {
				t.Errorf("%s: lines %q, want %q", word, got, want)
			}
		}
	}
}

// What is sent again after its answer was lost replaces itself, also when more lines have come in between.
func TestAgain(t *testing.T) {
	u := start(t, nil)
	b, lines := routertest.Batch(u.encoders[:1], 20)
	for _, n := range []int{10, 10, 20} {
		if e := routertest.Send(t, u.router, b.Slice(0, n)); e != nil {
			t.Fatal(e)
		}
	}
	if e := routertest.Send(t, u.router, b.Slice(15, 20)); e != nil {
		t.Fatal(e)
	}
	stored := u.server.Stored()
	if len(stored) != 2 || stored[0].Puts != 3 || !slices.Equal(u.server.Lines(), append(slices.Clone(lines), lines[15:]...)) {
		t.Errorf("%d objects with %d lines, want one of all lines, stored three times, and one of the last five", len(stored), len(u.server.Lines()))
	}
}

// What of a batch was stored is not sent again.
func TestDelivered(t *testing.T) {
	u := start(t, nil)
	b, lines := routertest.Batch(u.encoders, 10)
	u.server.Fail(routertest.Mishap{}, routertest.Mishap{Status: 503})
	if e := routertest.Send(t, u.router, b); routertest.ClassOf(e) != router.ClassRetry || e.Delivered != 5 {
		t.Fatalf("%+v, want 5 delivered", e)
	}
	if e := routertest.Send(t, u.router, b.Slice(5, 10)); e != nil {
		t.Fatal(e)
	}
	if got := u.server.Sent(); !slices.Equal(got, lines) {
		t.Errorf("%q, want %q", got, lines)
	}
}

// What S3 says, and what a person can do about it.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		no    awstest.Refusal
		class router.Class
		says  string
	}{
		{awstest.Refusal{Status: 403, Code: "AccessDenied"}, router.ClassCredentials, "allow s3:PutObject on its objects"},
		{awstest.Refusal{Status: 403, Code: "InvalidAccessKeyId"}, router.ClassCredentials, "renew the credentials"},
		{awstest.Refusal{Status: 400, Code: "ExpiredToken"}, router.ClassCredentials, "renew the credentials"},
		{awstest.Refusal{Status: 404, Code: "NoSuchBucket"}, router.ClassConfig, "compare the name in s3-bucket"},
		{awstest.Refusal{Status: 301, Code: "PermanentRedirect", Region: "us-east-1"}, router.ClassConfig, "write s3-region=us-east-1"},
		{awstest.Refusal{Status: 400, Code: "AuthorizationHeaderMalformed", Region: "us-east-1"}, router.ClassConfig, "write s3-region=us-east-1"},
		{awstest.Refusal{Status: 400, Code: "AccessControlListNotSupported"}, router.ClassConfig, "leave out s3-canned-acl"},
		{awstest.Refusal{Status: 400, Code: "InvalidStorageClass"}, router.ClassConfig, "InvalidStorageClass"},
		{awstest.Refusal{Status: 400, Code: "KeyTooLongError"}, router.ClassConfig, "shorten s3-key-format"},
		{awstest.Refusal{Status: 400, Code: "KMS.DisabledException"}, router.ClassConfig, "KMS.DisabledException"},
		{awstest.Refusal{Status: 400, Code: "EntityTooLarge"}, router.ClassTooLarge, "EntityTooLarge"},
		{awstest.Refusal{Status: 400, Code: "BadDigest"}, router.ClassRetry, "BadDigest"},
		{awstest.Refusal{Status: 400, Code: "RequestTimeout"}, router.ClassRetry, "RequestTimeout"},
		{awstest.Refusal{Status: 503, Code: "SlowDown"}, router.ClassRetry, "SlowDown"},
		{awstest.Refusal{Status: 500, Code: "InternalError"}, router.ClassRetry, "InternalError"},
	} {
		u := start(t, nil)
		u.server.Refuse(c.no)
		b, _ := routertest.Batch(u.encoders[:1], 2)
		if e := routertest.Send(t, u.router, b, awstest.Old.Secret); routertest.ClassOf(e) != c.class || !strings.Contains(e.Error(), c.says) {
			t.Errorf("%+v: %v, want class %s saying %q", c.no, e, c.class, c.says)
		}
	}
}

// An answer that is not S3's does not count as delivered.
func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		m     routertest.Mishap
		class router.Class
	}{
		{routertest.Mishap{Status: 200}, router.ClassConfig}, {routertest.Mishap{Status: 200, Body: "OK"}, router.ClassConfig}, {routertest.Mishap{Status: 204}, router.ClassConfig},
		{routertest.Mishap{Status: 200, Body: "<html>"}, router.ClassConfig}, {routertest.Mishap{Status: 400}, router.ClassConfig}, {routertest.Mishap{Status: 404}, router.ClassConfig},
		{routertest.Mishap{Status: 302}, router.ClassConfig}, {routertest.Mishap{Status: 403}, router.ClassCredentials}, {routertest.Mishap{Status: 413}, router.ClassTooLarge},
		{routertest.Mishap{Status: 429}, router.ClassRetry}, {routertest.Mishap{Status: 502, Body: "<html>"}, router.ClassRetry},
	} {
		u := start(t, nil)
		u.server.Fail(c.m)
		b, _ := routertest.Batch(u.encoders[:1], 2)
		if e := routertest.Send(t, u.router, b); routertest.ClassOf(e) != c.class {
			t.Errorf("%+v: %v, want class %s", c.m, e, c.class)
		}
	}
}

// A clock that is wrong costs one request.
func TestClock(t *testing.T) {
	u := start(t, nil)
	u.server.SetAhead(time.Hour)
	b, lines := routertest.Batch(u.encoders[:1], 2)
	if e := routertest.Send(t, u.router, b); e != nil {
		t.Fatal(e)
	}
	if got := u.server.Sent(); !slices.Equal(got, lines) || len(u.server.Exchanges()) != 2 {
		t.Errorf("%q in %d requests", got, len(u.server.Exchanges()))
	}
	if note := u.router.(router.Noter).Note(); !strings.Contains(note, "behind the receiver's") {
		t.Errorf("the note is %q, want one about the clock", note)
	}
}

func TestAllocs(t *testing.T) {
	for _, word := range []string{jsonLines, raw} {
		routertest.EncoderAllocs(t, kind(), map[string]string{bucket: "logs", format: word}, "hello", "bad \xff bytes", strings.Repeat("x", 1000))
	}
}

// BenchmarkSend encodes lines, makes objects of them, and sends these to a server in the same process.
func BenchmarkSend(b *testing.B) {
	const perBatch = 20_000
	for _, word := range []string{noneEncoding, router.Gzip, router.Zstd} {
		b.Run(word, func(b *testing.B) {
			receiver := routertest.StartReceiver(routertest.ReceiverOptions{Handle: func(w http.ResponseWriter, _ *http.Request, _ []byte) { w.Header().Set("ETag", `"x"`) }})
			defer receiver.Close()
			c, err := Kind(awsrouter.NewHost(awstest.NewHome(b).Session(receiver.URL()))).New(router.Options{Plain: map[string]string{bucket: "logs", compression: word}})
			if err != nil {
				b.Fatal(err)
			}
			e, err := c.Encoder(b.Context(), routertest.Session("web"))
			if err != nil {
				b.Fatal(err)
			}
			r := c.Router()
			defer func() { _ = r.Close() }()
			batch, lines := &router.Batch{}, routertest.Lines(perBatch)
			b.ReportAllocs()
			for sent := 0; sent < b.N; sent += perBatch {
				batch.Reset()
				for i, line := range lines {
					batch.Append(e, &router.Record{TimeNano: 1795463301547679123 + int64(sent+i)*1000, Position: int64(sent + i), Source: []byte("stdout"), Line: line})
				}
				if err := r.Send(b.Context(), batch); err != nil {
					b.Fatal(fmt.Errorf("send: %w", err))
				}
			}
		})
	}
}
