package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fault"
)

const canary = "s3cr3t-c4n4ry"

// server is an S3 that answers as a test says, and notes in which regions it was asked.
type server struct {
	*httptest.Server
	mu      sync.Mutex
	regions []string
}

// start starts a server, and points this process at it.
func start(t *testing.T, h func(w http.ResponseWriter, r *http.Request, region string)) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		region := strings.Split(r.Header.Get("Authorization"), "/")[2]
		s.mu.Lock()
		s.regions = append(s.regions, region)
		s.mu.Unlock()
		w.Header().Set("X-Amz-Request-Id", "TX234S0F24A06C7")
		w.Header().Set("ETag", `"e"`)
		h(w, r, region)
	}))
	t.Cleanup(s.Close)
	for k, v := range map[string]string{
		"AWS_ENDPOINT_URL_S3": s.URL, "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
		"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "key", "AWS_SESSION_TOKEN": "token", "AWS_CA_BUNDLE": "",
	} {
		t.Setenv(k, v)
	}
	return s
}

func (s *server) asked() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.regions, " ")
}

func client() *Client { return New(awsconf.New(config.AWS{}, "test", "1")) }

func request() Request {
	return Request{Partition: "aws", Bucket: "secrets", Key: "a", Region: "us-east-1"}
}

func xmlError(code, extra string) string {
	return `<?xml version="1.0" encoding="UTF-8"?><Error><Code>` + code + `</Code><Message>no</Message>` + extra + `</Error>`
}

// get reads with a deadline that only a server that hangs needs.
func get(t *testing.T, c *Client, q Request) (Object, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return c.Get(ctx, q)
}

func TestRedirects(t *testing.T) {
	for _, c := range []struct {
		name         string
		status       int
		header, body string // of the answer in every region but eu-west-1
		asked        string // by two Gets
		says         string // of the error; "" = none
	}{
		{"301 with a header", 301, "eu-west-1", xmlError("PermanentRedirect", ""), "us-east-1 eu-west-1 eu-west-1", ""},
		{"301 without a body", 301, "eu-west-1", "", "us-east-1 eu-west-1 eu-west-1", ""},
		{"307", 307, "eu-west-1", xmlError("TemporaryRedirect", ""), "us-east-1 eu-west-1 eu-west-1", ""},
		{"400 with a header", 400, "eu-west-1", xmlError("IllegalLocationConstraintException", ""), "us-east-1 eu-west-1 eu-west-1", ""},
		{"400 with a region in it", 400, "", xmlError("AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"), "us-east-1 eu-west-1 eu-west-1", ""},
		{"301 that names no region", 301, "", xmlError("PermanentRedirect", ""), "us-east-1 us-east-1", `set region under [buckets."secrets"]`},
		{"301 to the same region", 301, "us-east-1", xmlError("PermanentRedirect", ""), "us-east-1 us-east-1", "does not serve the bucket here, but in us-east-1"},
		{"301 in a circle", 301, "eu-north-1", xmlError("PermanentRedirect", ""), "us-east-1 eu-north-1 us-east-1 eu-north-1", "does not serve the bucket here"},
		{"301 to another partition", 301, "cn-north-1", xmlError("PermanentRedirect", ""), "us-east-1 us-east-1", "does not serve the bucket here, but in cn-north-1"},
		{"301 to something that is not a region", 301, "evil.example.com/", xmlError("PermanentRedirect", ""), "us-east-1 us-east-1", "does not serve the bucket here"},
		{"301 of something else", 301, "", "<html>Log in</html>", "us-east-1 us-east-1", "did not answer as AWS does"},
		{"400 in the right region", 400, "us-east-1", xmlError("ExpiredToken", ""), "us-east-1 us-east-1", "credentials have expired"},
	} {
		t.Run(c.name, func(t *testing.T) {
			followed := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect to another host was followed") }))
			defer followed.Close()
			s := start(t, func(w http.ResponseWriter, _ *http.Request, region string) {
				if region == "eu-west-1" {
					fmt.Fprint(w, "v")
					return
				}
				if c.header != "" {
					w.Header().Set("X-Amz-Bucket-Region", c.header)
				}
				w.Header().Set("Location", followed.URL)
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body)
			})
			cl := client()
			for range 2 {
				o, err := get(t, cl, request())
				switch {
				case c.says == "" && (err != nil || o.Text.Reveal() != "v"):
					t.Errorf("%q, %v", o.Text.Reveal(), err)
				case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
					t.Errorf("error %v does not say %q", err, c.says)
				}
			}
			if s.asked() != c.asked {
				t.Errorf("asked in %q, want %q", s.asked(), c.asked)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		kind   fault.Kind
		calls  int
	}{
		{"access denied", 403, xmlError("AccessDenied", ""), fault.Denied, 1},
		{"all access disabled", 403, xmlError("AllAccessDisabled", ""), fault.Denied, 1},
		{"no such key", 404, xmlError("NoSuchKey", ""), fault.NotFound, 1},
		{"no such bucket", 404, xmlError("NoSuchBucket", ""), fault.NotFound, 1},
		{"archived", 403, xmlError("InvalidObjectState", ""), fault.BadValue, 1},
		{"KMS key is disabled", 400, xmlError("KMS.DisabledException", ""), fault.Decrypt, 1},
		{"KMS denied", 403, strings.Replace(xmlError("AccessDenied", ""), "no", "User: x is not authorized to perform: kms:Decrypt on resource: y", 1), fault.Decrypt, 1},
		{"unknown key id", 403, xmlError("InvalidAccessKeyId", ""), fault.Denied, 1},
		{"wrong secret key", 403, xmlError("SignatureDoesNotMatch", ""), fault.NoCredentials, 1},
		{"clock", 403, xmlError("RequestTimeTooSkewed", ""), fault.NoCredentials, 1},
		{"slow down", 503, xmlError("SlowDown", ""), fault.Throttled, 3},
		{"internal error", 500, xmlError("InternalError", ""), fault.Unreachable, 3},
		{"a code of tomorrow", 403, xmlError("NewCode", ""), fault.Denied, 1},
		{"403 of a proxy", 403, "<html>blocked</html>", fault.Unreachable, 1},
		{"404 without a body", 404, "", fault.Unreachable, 1},
		{"an endless error", 403, "<Error><Code>" + strings.Repeat("x", 1<<20), fault.Unreachable, 1},
		{"deep XML", 403, strings.Repeat("<a>", 20000), fault.Unreachable, 1},
		{"304 that was not asked for", 304, "", fault.Unreachable, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, func(w http.ResponseWriter, _ *http.Request, _ string) {
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body)
			})
			_, err := get(t, client(), request())
			if fault.KindOf(err) != c.kind {
				t.Errorf("%v has kind %s, want %s", err, fault.KindOf(err), c.kind)
			}
			if n := len(strings.Fields(s.asked())); n != c.calls {
				t.Errorf("%d calls, want %d", n, c.calls)
			}
			if err != nil && (len(err.Error()) > 1100 || strings.Contains(err.Error(), "token")) {
				t.Errorf("error %q", err)
			}
		})
	}
}

func TestBodies(t *testing.T) {
	for _, c := range []struct {
		name  string
		serve func(w http.ResponseWriter, r *http.Request)
		kind  fault.Kind
		calls int
		says  string
	}{
		{"announced as too large", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(MaxObject+1))
			fmt.Fprint(w, canary)
		}, fault.BadValue, 1, "more than 1024 KiB"},
		{"endless", func(w http.ResponseWriter, r *http.Request) {
			line := []byte(strings.Repeat(canary, 1000))
			for r.Context().Err() == nil {
				if _, err := w.Write(line); err != nil {
					return
				}
			}
		}, fault.BadValue, 1, "more than 1024 KiB"},
		{"cut", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, canary)
		}, fault.Unreachable, 3, "cut off"},
		{"without an ETag", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Del("ETag")
			fmt.Fprint(w, canary)
		}, fault.Unreachable, 1, "did not answer as AWS does"},
		{"of a web server", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Del("X-Amz-Request-Id")
			fmt.Fprint(w, canary)
		}, fault.Unreachable, 1, "did not answer as AWS does"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, func(w http.ResponseWriter, r *http.Request, _ string) { c.serve(w, r) })
			o, err := get(t, client(), request())
			if fault.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%q, %v, want %s that says %q", o.Text.Reveal(), err, c.kind, c.says)
			}
			if n := len(strings.Fields(s.asked())); n != c.calls {
				t.Errorf("%d calls, want %d", n, c.calls)
			}
			if err != nil && strings.Contains(err.Error(), canary) {
				t.Errorf("the error holds the value: %v", err)
			}
		})
	}
}

// A body that trickles is given up at the caller's deadline.
func TestSlowBody(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	start(t, func(w http.ResponseWriter, r *http.Request, _ string) {
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, canary)
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		cancel() // the deadline comes while the body is being read
		<-r.Context().Done()
	})
	_, err := client().Get(ctx, request())
	if !errors.Is(err, fault.Unreachable) || strings.Contains(err.Error(), canary) {
		t.Errorf("%v, want Unreachable without the value", err)
	}
}

// What is sent: the ETag, no body, an object as it is stored, and a path that is escaped once.
func TestRequestHeaders(t *testing.T) {
	var got *http.Request
	start(t, func(w http.ResponseWriter, r *http.Request, _ string) {
		got = r
		w.WriteHeader(http.StatusNotModified)
	})
	q := request()
	q.ETag, q.Key = `"e"`, "a b/c+d%é"
	o, err := get(t, client(), q)
	if err != nil || !o.NotModified {
		t.Fatalf("%+v, %v, want not modified", o, err)
	}
	if want := "/secrets/a%20b/c%2Bd%25%C3%A9"; got.RequestURI != want {
		t.Errorf("path %s, want %s", got.RequestURI, want)
	}
	for name, want := range map[string]string{
		"If-None-Match": `"e"`, "Accept-Encoding": "identity", "User-Agent": "test/1", "X-Amz-Security-Token": "token", "X-Amz-Content-Sha256": emptyHash,
	} {
		if h := got.Header.Get(name); h != want {
			t.Errorf("%s is %q, want %q", name, h, want)
		}
	}
}

func TestVersions(t *testing.T) {
	for sent, want := range map[string]string{"": "", "null": "", "3/L4kqtJlcpXroDTDmJ": "3/L4kqtJlcpXroDTDmJ", strings.Repeat("x", 2000): ""} {
		start(t, func(w http.ResponseWriter, _ *http.Request, _ string) {
			w.Header().Set("X-Amz-Version-Id", sent)
			fmt.Fprint(w, "v")
		})
		if o, err := get(t, client(), request()); err != nil || o.VersionID != want || o.ETag != `"e"` {
			t.Errorf("version %.20q: %+v, %v, want %q", sent, o, err, want)
		}
	}
}

func TestAddress(t *testing.T) {
	for _, c := range []struct {
		partition, bucket, region string
		s                         awsconf.Service
		want                      string // "" = an error
	}{
		{"aws", "secrets", "eu-west-1", awsconf.Service{}, "https://secrets.s3.eu-west-1.amazonaws.com/a%20b"},
		{"aws", "my.secrets", "eu-west-1", awsconf.Service{}, "https://s3.eu-west-1.amazonaws.com/my.secrets/a%20b"},
		{"aws", "secrets", "us-east-1", awsconf.Service{FIPS: true}, "https://secrets.s3-fips.us-east-1.amazonaws.com/a%20b"},
		{"aws", "secrets", "us-east-1", awsconf.Service{Dualstack: true}, "https://secrets.s3.dualstack.us-east-1.amazonaws.com/a%20b"},
		{"aws-us-gov", "secrets", "us-gov-west-1", awsconf.Service{FIPS: true, Dualstack: true}, "https://secrets.s3-fips.dualstack.us-gov-west-1.amazonaws.com/a%20b"},
		{"aws-cn", "secrets", "cn-north-1", awsconf.Service{}, "https://secrets.s3.cn-north-1.amazonaws.com.cn/a%20b"},
		{"aws-iso", "secrets", "us-iso-east-1", awsconf.Service{}, "https://secrets.s3.us-iso-east-1.c2s.ic.gov/a%20b"},
		{"aws-iso-b", "secrets", "us-isob-east-1", awsconf.Service{}, "https://secrets.s3.us-isob-east-1.sc2s.sgov.gov/a%20b"},
		{"aws-eusc", "secrets", "eusc-de-east-1", awsconf.Service{}, "https://secrets.s3.eusc-de-east-1.amazonaws.eu/a%20b"},
		{"aws", "secrets", "eu-west-1", awsconf.Service{Endpoint: "https://bucket.vpce.example.com/"}, "https://bucket.vpce.example.com/secrets/a%20b"},
		{"aws-cn", "secrets", "eu-west-1", awsconf.Service{}, ""},
	} {
		got, err := address(c.s, Request{Partition: c.partition, Bucket: c.bucket, Key: "a b"}, c.region)
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("address of %s in %s with %+v = %q, %v, want %q", c.bucket, c.region, c.s, got, err, c.want)
		}
	}
}

// Wherever a bucket says that it is, no more than so many answers are remembered.
func TestRememberedRegionsAreBounded(t *testing.T) {
	c := client()
	for i := range 3 * maxRegions {
		c.remember(fmt.Sprint("aws bucket-", i), "eu-west-1")
	}
	if len(c.regions) > maxRegions || c.regions[fmt.Sprint("aws bucket-", 3*maxRegions-1)] != "eu-west-1" {
		t.Errorf("%d regions are remembered", len(c.regions))
	}
}
