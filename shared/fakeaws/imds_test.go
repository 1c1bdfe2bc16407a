package fakeaws_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/shared/fakeaws"
)

const appHost = "arn:aws:iam::111122223333:role/app-host"

func metadataClient(t *testing.T, url string, v1 bool) *imds.Client {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return imds.New(imds.Options{
		Endpoint: url, HTTPClient: &http.Client{Transport: tr}, Retryer: aws.NopRetryer{},
		EnableFallback: aws.BoolTernary(v1),
	})
}

func TestIMDS(t *testing.T) {
	noLeak(t)
	s := fakeaws.New(t, fakeaws.Options{Region: "eu-central-1"})
	s.PutSecret(fakeaws.Secret{Name: "a", String: "x"})
	s.SetIMDS(fakeaws.IMDS{Role: appHost})
	c := metadataClient(t, s.IMDSURL, false)
	region, err := c.GetRegion(t.Context(), nil)
	if err != nil || region.Region != "eu-central-1" {
		t.Errorf("region = %+v, %v", region, err)
	}
	doc, err := c.GetInstanceIdentityDocument(t.Context(), nil)
	if err != nil || doc.AccountID != "111122223333" || doc.InstanceID != fakeaws.InstanceID || doc.Region != "eu-central-1" {
		t.Errorf("document = %+v, %v", doc, err)
	}
	for path, want := range map[string]string{"instance-id": fakeaws.InstanceID, "placement/region": "eu-central-1"} {
		out, err := c.GetMetadata(t.Context(), &imds.GetMetadataInput{Path: path})
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		b, err := io.ReadAll(out.Content)
		_ = out.Content.Close()
		if err != nil || string(b) != want {
			t.Errorf("%s = %q, %v; want %q", path, b, err, want)
		}
	}
	cfg := client(t, s, "eu-central-1")
	cfg.Credentials = ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = c })
	s.ResetCalls()
	if _, err := get(t.Context(), cfg, "a"); err != nil {
		t.Fatal(err)
	}
	calls := s.Calls()
	last := calls[len(calls)-1]
	if want := "arn:aws:sts::111122223333:assumed-role/app-host/" + fakeaws.InstanceID; last.Identity != want {
		t.Errorf("call as %s, want %s", last.Identity, want)
	}
	if calls[0].Service != "imds" || calls[0].Op != "GET /latest/meta-data/iam/security-credentials/" {
		t.Errorf("first call = %+v", calls[0])
	}
}

func TestIMDSModes(t *testing.T) {
	noLeak(t)
	s := fakeaws.New(t, fakeaws.Options{})
	for _, row := range []struct {
		name   string
		mode   fakeaws.IMDS
		v1     bool // what the client may do
		status int  // 0 = credentials, -1 = no answer
		text   string
	}{
		{"v2", fakeaws.IMDS{Role: appHost}, false, 0, ""},
		{"v1 allowed, token hangs", fakeaws.IMDS{Role: appHost, V1: true, TokenHangs: true}, true, 0, ""},
		{"v2 demanded, token hangs", fakeaws.IMDS{Role: appHost, TokenHangs: true}, true, 401, ""},
		{"token hangs", fakeaws.IMDS{Role: appHost, TokenHangs: true}, false, -1, ""},
		{"all hangs", fakeaws.IMDS{Role: appHost, Hangs: true}, true, -1, ""},
		{"no role", fakeaws.IMDS{}, false, 404, ""},
		{"disabled", fakeaws.IMDS{Role: appHost, Disabled: true}, false, 403, ""},
		{"not ready", fakeaws.IMDS{Role: appHost, Code: "AssumeRoleUnauthorizedAccess"}, false, 0, "AssumeRoleUnauthorizedAccess"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s.SetIMDS(row.mode)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			tr := &http.Transport{ResponseHeaderTimeout: 100 * time.Millisecond}
			defer tr.CloseIdleConnections()
			c := imds.New(imds.Options{Endpoint: s.IMDSURL, HTTPClient: &http.Client{Transport: tr},
				Retryer: aws.NopRetryer{}, EnableFallback: aws.BoolTernary(row.v1)})
			creds, err := ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = c }).Retrieve(ctx)
			switch {
			case row.text != "":
				if err == nil || !strings.Contains(err.Error(), row.text) {
					t.Errorf("err = %v, want %s", err, row.text)
				}
			case row.status == 0:
				if err != nil || creds.AccessKeyID == "" {
					t.Errorf("Retrieve = %+v, %v", creds.AccessKeyID, err)
				}
			case row.status == -1:
				if err == nil || !strings.Contains(err.Error(), "awaiting response headers") {
					t.Errorf("err = %v, want no answer at all", err)
				}
			default:
				if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("StatusCode: %d", row.status)) {
					t.Errorf("err = %v, want status %d", err, row.status)
				}
			}
		})
	}
}

// A fault of the APIs leaves the metadata service alone; one of "imds" does not.
func TestIMDSFaults(t *testing.T) {
	s := fakeaws.New(t, fakeaws.Options{})
	c := metadataClient(t, s.IMDSURL, false)
	s.SetFault(fakeaws.Fault{Kind: fakeaws.Status500})
	if _, err := c.GetRegion(t.Context(), nil); err != nil {
		t.Errorf("a fault of the APIs: %v", err)
	}
	s.SetFault(fakeaws.Fault{Service: "imds", Kind: fakeaws.Status503, Times: 1})
	if _, err := c.GetRegion(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "StatusCode: 503") {
		t.Errorf("a fault of imds: %v", err)
	}
	s.SetFault(fakeaws.Fault{Service: "imds", Kind: fakeaws.GarbageBody, Times: 1})
	if got, err := c.GetRegion(t.Context(), nil); err == nil && got.Region == "eu-west-1" {
		t.Error("garbage is not seen")
	}
}

func TestIMDSExpiredCredentials(t *testing.T) {
	s := fakeaws.New(t, fakeaws.Options{})
	s.SetIMDS(fakeaws.IMDS{Role: appHost, Lifetime: -time.Minute})
	creds, err := ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = metadataClient(t, s.IMDSURL, false) }).Retrieve(t.Context())
	if err != nil || !creds.Expires.Before(time.Now()) {
		t.Fatalf("expires %v, %v", creds.Expires, err)
	}
	cfg := client(t, s, "eu-west-1")
	_, err = get(t.Context(), as(cfg, fakeaws.Credentials{AccessKeyID: creds.AccessKeyID, SecretAccessKey: creds.SecretAccessKey, SessionToken: creds.SessionToken}), "a")
	wantCode(t, "used all the same", err, "ExpiredTokenException")
}

// Programs that keep something under the access key find it again, as on an instance.
func TestIMDSCredentialsStay(t *testing.T) {
	s := fakeaws.New(t, fakeaws.Options{})
	accessKey := func(mode fakeaws.IMDS) func() string {
		s.SetIMDS(mode)
		return func() string {
			creds, err := ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = metadataClient(t, s.IMDSURL, false) }).Retrieve(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return creds.AccessKeyID
		}
	}
	long := accessKey(fakeaws.IMDS{Role: appHost})
	first := long()
	if second := long(); second != first {
		t.Errorf("access key %s, then %s, want the same for six hours", first, second)
	}
	short := accessKey(fakeaws.IMDS{Role: appHost, Lifetime: 4 * time.Minute})
	if first, second := short(), short(); second == first {
		t.Errorf("access key %s twice, want another one when it is about to expire", first)
	}
	if other := accessKey(fakeaws.IMDS{Role: appHost + "2"})(); other == first {
		t.Errorf("access key %s of two roles", first)
	}
}

// What the SDK's client never does.
func TestIMDSProtocol(t *testing.T) {
	now := time.Now()
	var clock sync.Mutex
	s := fakeaws.New(t, fakeaws.Options{Now: func() time.Time { clock.Lock(); defer clock.Unlock(); return now }})
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func(method, path string, header ...string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, s.IMDSURL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	const ttl, name, id = "X-aws-ec2-metadata-token-ttl-seconds", "X-aws-ec2-metadata-token", "/latest/meta-data/instance-id"
	status, token := ask("PUT", "/latest/api/token", ttl, "60")
	if status != 200 || token == "" {
		t.Fatalf("PUT = %d", status)
	}
	for _, row := range []struct {
		name, method, path string
		header             []string
		want               int
	}{
		{"with token", "GET", id, []string{name, token}, 200},
		{"without", "GET", id, nil, 401},
		{"wrong token", "GET", id, []string{name, "x"}, 401},
		{"no ttl", "PUT", "/latest/api/token", nil, 400},
		{"ttl too long", "PUT", "/latest/api/token", []string{ttl, "21601"}, 400},
		{"through a proxy", "PUT", "/latest/api/token", []string{ttl, "60", "X-Forwarded-For", "192.0.2.1"}, 403},
		{"another method", "POST", id, []string{name, token}, 405},
		{"another path", "GET", "/latest/meta-data/mac", []string{name, token}, 404},
	} {
		if got, _ := ask(row.method, row.path, row.header...); got != row.want {
			t.Errorf("%s: status %d, want %d", row.name, got, row.want)
		}
	}
	clock.Lock()
	now = now.Add(time.Minute)
	clock.Unlock()
	if got, _ := ask("GET", id, name, token); got != 401 {
		t.Errorf("expired token: status %d, want 401", got)
	}
}

// spy keeps the server's ends of the connections, to look at their socket options.
type spy struct {
	net.Listener
	conns chan net.Conn
}

func (l spy) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.conns <- c
	}
	return c, err
}

// The packets that answer a PUT have the hop limit as their TTL, the others the system's.
func TestIMDSHopLimit(t *testing.T) {
	noLeak(t)
	s := fakeaws.New(t, fakeaws.Options{})
	s.SetIMDS(fakeaws.IMDS{HopLimit: 1})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sp := spy{l, make(chan net.Conn, 4)}
	s.ServeIMDS(sp)
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	ask := func(method, path, name, value string) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+l.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(name, value)
		resp, err := tr.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s %s = %d, %v", method, path, resp.StatusCode, err)
		}
		return string(b)
	}
	token := ask("PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60")
	conn := <-sp.conns
	if got := connTTL(t, conn); got != 1 {
		t.Errorf("TTL after PUT = %d, want 1", got)
	}
	ask("GET", "/latest/meta-data/instance-id", "X-aws-ec2-metadata-token", token)
	if got := connTTL(t, conn); got < 32 {
		t.Errorf("TTL after GET = %d, want the default", got)
	}
}

func connTTL(t *testing.T, c net.Conn) int {
	t.Helper()
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var ttl int
	var optErr error
	if err := raw.Control(func(fd uintptr) { ttl, optErr = unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL) }); err != nil || optErr != nil {
		t.Fatal(err, optErr)
	}
	return ttl
}
