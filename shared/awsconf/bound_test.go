package awsconf

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/proxy"
)

const keys = "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE"

// serveBody answers every request with what write writes.
func serveBody(t *testing.T, write func(w http.ResponseWriter, r *http.Request)) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(write))
	t.Cleanup(s.Close)
	return s.URL
}

// endless writes for as long as somebody reads, and at most a GiB.
func endless(w http.ResponseWriter, head string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_, err := io.WriteString(w, head)
	chunk := []byte(strings.Repeat("a", 64<<10))
	for n := 0; err == nil && n < 1<<30; n += len(chunk) {
		_, err = w.Write(chunk)
	}
}

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// An answer that does not end costs some MiB and says who gave it, for every service that is asked.
func TestAnswersAreBounded(t *testing.T) {
	for _, c := range []struct {
		name, head string
		status     int
	}{
		{"secret", `{"ARN":"a","SecretString":"`, 200},
		{"nested", `{"ARN":` + strings.Repeat("[", 4096), 200},
		{"error message", `{"__type":"ResourceNotFoundException","message":"`, 400},
		{"not JSON", "<html>", 200},
	} {
		url := serveBody(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			w.WriteHeader(c.status)
			endless(w, c.head)
		})
		setenv(t, []string{keys, "AWS_SECRET_ACCESS_KEY=x"})
		var err error
		began := time.Now()
		used := allocated(func() {
			var cfg aws.Config
			if cfg, err = New(config.AWS{EndpointURL: url}, "test", "1").Config(t.Context(), "eu-west-1", config.Role{}); err == nil {
				_, err = secretsmanager.NewFromConfig(cfg).GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("x")})
			}
		})
		e := &fault.Error{}
		Classify(t.Context(), e, err)
		t.Logf("%s: %d KiB allocated, %v", c.name, used>>10, time.Since(began))
		if err == nil || used > 64<<20 || time.Since(began) > 8*time.Second {
			t.Errorf("%s: %v, %d bytes allocated in %v, want an error and less than 64 MiB in 8 s", c.name, err, used, time.Since(began))
		}
		if c.name == "secret" && (e.Kind != fault.Unreachable || !strings.Contains(e.Error(), "read the answer of 127.0.0.1:") || !strings.Contains(e.Cause, "has more than 1024 KiB")) {
			t.Errorf("%s: %v (%s), want who answered and the bound", c.name, e, e.Kind)
		}
	}
}

// After 101 a body ends when the server closes the connection, and nothing else ends it.
func TestSwitchingProtocols(t *testing.T) {
	done := make(chan struct{})
	url := serveBody(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		<-done
	})
	defer close(done)
	setenv(t, []string{keys, "AWS_SECRET_ACCESS_KEY=x"})
	cfg, err := New(config.AWS{EndpointURL: url}, "test", "1").Config(t.Context(), "eu-west-1", config.Role{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = secretsmanager.NewFromConfig(cfg).GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("x")})
	e := &fault.Error{}
	Classify(t.Context(), e, err)
	if err == nil || e.Kind != fault.Unreachable {
		t.Errorf("%v (%s, %s), want an error of kind %s", err, e.Kind, e.Cause, fault.Unreachable)
	} else {
		t.Logf("%s; %s", e.Cause, e.Hint)
	}
}

// What a proxy, or something that does not speak HTTP, says in its own words is not shown: it may be the password of the proxy.
func TestOwnWordsAreLeftOut(t *testing.T) {
	const hidden = "h1dden-v4lue"
	for _, c := range []struct{ name, answer, want string }{
		{"407", "HTTP/1.1 407 wrong " + hidden + "\r\nContent-Length: 0\r\n\r\n", "the proxy answers 407 Proxy Authentication Required"},
		{"403", "HTTP/1.1 403 " + hidden + "\r\nContent-Length: 0\r\n\r\n", "the proxy answers 403 Forbidden"},
		{"502", "HTTP/1.1 502 " + hidden + "\r\nContent-Length: 0\r\n\r\n", "the proxy answers 502 Bad Gateway"},
		{"no number", "HTTP/1.1 " + hidden + "\r\n\r\n", "did not answer as AWS does"},
		{"no HTTP", hidden + "\r\n\r\n", "did not answer as AWS does"},
		{"no header", "HTTP/1.1 200 OK\r\n" + hidden + "\r\n\r\n", "did not answer as AWS does"},
	} {
		t.Run(c.name, func(t *testing.T) {
			proxy := serveBody(t, func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.WriteString(conn, c.answer)
				_ = conn.Close()
			})
			setenv(t, []string{keys, "AWS_SECRET_ACCESS_KEY=x"})
			cfg, err := New(config.AWS{EndpointURL: "https://aws.example.com", HTTPSProxy: proxy}, "test", "1").Config(t.Context(), "eu-west-1", config.Role{})
			if err != nil {
				t.Fatal(err)
			}
			cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
			_, err = secretsmanager.NewFromConfig(cfg).GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("x")})
			e := &fault.Error{Op: "get secret x"}
			Classify(t.Context(), e, err)
			if e.Kind != fault.Unreachable || !strings.Contains(e.Error(), c.want) || e.Hint == "" || strings.Contains(e.Error(), hidden) {
				t.Errorf("%v (%s), want %q and a hint, without the words of who answered", e, e.Kind, c.want)
			}
		})
	}
}

// The hint of a 407 names what gives the proxy.
func TestLoginOfProxy(t *testing.T) {
	refuses := serveBody(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusProxyAuthRequired) })
	for _, c := range []struct {
		name string
		aws  config.AWS
		env  string
		want string
	}{
		{"configuration", config.AWS{HTTPSProxy: refuses}, "HTTPS_PROXY=http://127.0.0.1:1", "the proxy in https_proxy under [aws] wants"},
		{"environment", config.AWS{}, "HTTPS_PROXY=" + refuses, "the proxy in HTTPS_PROXY wants"},
		{"environment in lower case", config.AWS{}, "https_proxy=" + refuses, "the proxy in https_proxy wants"},
	} {
		t.Run(c.name, func(t *testing.T) {
			setenv(t, []string{keys, "AWS_SECRET_ACCESS_KEY=x", "HTTPS_PROXY=", "https_proxy=", "NO_PROXY=", "no_proxy=", c.env})
			c.aws.EndpointURL = "https://aws.example.com"
			cfg, err := New(c.aws, "test", "1").Config(t.Context(), "eu-west-1", config.Role{})
			if err != nil {
				t.Fatal(err)
			}
			cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
			_, err = secretsmanager.NewFromConfig(cfg).GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("x")})
			e := &fault.Error{}
			if Classify(t.Context(), e, err); !strings.HasPrefix(e.Hint, c.want) {
				t.Errorf("the hint is %q, want one that begins with %q (%v)", e.Hint, c.want, err)
			}
		})
	}
}

// With a proxy that cannot be read AWS is not asked, and what is wrong is named without the proxy's text.
func TestUnreadProxy(t *testing.T) {
	const hidden = "h1dden%v4lue"
	setenv(t, []string{keys, "AWS_SECRET_ACCESS_KEY=x", "HTTPS_PROXY=http://user:" + hidden + "@proxy.example.com:3128", "NO_PROXY="})
	cfg, err := New(config.AWS{EndpointURL: "https://aws.example.com"}, "test", "1").Config(t.Context(), "eu-west-1", config.Role{})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	_, err = secretsmanager.NewFromConfig(cfg).GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("x")})
	e := &fault.Error{Op: "get secret x"}
	Classify(t.Context(), e, err)
	if e.Kind != fault.Unreachable || !strings.Contains(e.Error(), "HTTPS_PROXY is not the address of a proxy") || e.Hint != proxy.Hint || strings.Contains(e.Error(), hidden) {
		t.Errorf("%v (%s), want one about HTTPS_PROXY with a hint, without its text", e, e.Kind)
	}
}

// A body that trickles ends with the caller's time.
func TestSlowAnswer(t *testing.T) {
	url := serveBody(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"ARN":"`)
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, "a")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-time.After(20 * time.Millisecond):
			case <-r.Context().Done():
			}
		}
	})
	setenv(t, []string{keys, "AWS_SECRET_ACCESS_KEY=x"})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	cfg, err := New(config.AWS{EndpointURL: url}, "test", "1").Config(ctx, "eu-west-1", config.Role{})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_, err = secretsmanager.NewFromConfig(cfg).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String("x")})
	if took := time.Since(began); err == nil || took > 2*time.Second {
		t.Errorf("%v after %v, want an error in 300 ms", err, took)
	}
}

// What gives credentials is bounded as well: STS, IMDS, the container endpoint.
func TestCredentialAnswersAreBounded(t *testing.T) {
	for name, env := range map[string]string{
		"container": "AWS_CONTAINER_CREDENTIALS_FULL_URI=URL/creds",
		"imds":      "AWS_EC2_METADATA_SERVICE_ENDPOINT=URL",
		"sts":       "AWS_WEB_IDENTITY_TOKEN_FILE=@ AWS_ROLE_ARN=arn:aws:iam::111122223333:role/r AWS_ENDPOINT_URL_STS=URL",
	} {
		url := serveBody(t, func(w http.ResponseWriter, _ *http.Request) { endless(w, `{"Code":"`) })
		file := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(file, []byte("x.y.z"), 0o600); err != nil {
			t.Fatal(err)
		}
		setenv(t, strings.Fields(strings.NewReplacer("URL/", url+"/", "=URL", "="+url, "@", file).Replace(env)))
		var err error
		used := allocated(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			_, err = New(config.AWS{}, "test", "1").Config(ctx, "eu-west-1", config.Role{})
		})
		t.Logf("%s: %d KiB allocated: %v", name, used>>10, err)
		if err == nil || used > 64<<20 || !strings.Contains(err.Error(), "has more than 1024 KiB") {
			t.Errorf("%s: %v, %d bytes allocated, want an error and less than 64 MiB", name, err, used)
		}
	}
}

func TestBoundedBody(t *testing.T) {
	for n, ok := range map[int]bool{0: true, maxAnswer - 1: true, maxAnswer: true, maxAnswer + 1: false, 2 * maxAnswer: false} {
		b := &boundedBody{body: io.NopCloser(strings.NewReader(strings.Repeat("a", n))), left: maxAnswer, asked: "x.example"}
		got, err := io.ReadAll(b)
		if (err == nil) != ok || len(got) > maxAnswer || ok && len(got) != n {
			t.Errorf("of %d bytes %d are read: %v", n, len(got), err)
		}
		if again, err2 := b.Read(make([]byte, 1)); !ok && (again != 0 || !errors.Is(err2, fault.Unreachable)) {
			t.Errorf("read after the bound: %d, %v", again, err2)
		}
	}
}
