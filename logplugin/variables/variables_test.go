package variables

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/ociruntime/ask"
	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/resolve"
	"github.com/secretref/secretref/shared/ttl"
)

const canary = "c4n4ry-of-variables"

// host is what the service finds.
type host struct {
	aws    *fakeaws.Server
	dir    string
	config config.Config
	log    strings.Builder
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{aws: fakeaws.New(t, fakeaws.Options{}), dir: t.TempDir()}
	for _, pair := range append(h.aws.Environ(), "AWS_CA_BUNDLE=") {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
	h.config = config.Config{
		AWS:     config.AWS{Region: "eu-west-1", Timeout: 300 * time.Millisecond},
		Secrets: config.Secrets{AllowReferences: []string{"arn:aws:secretsmanager:*:*:secret:prod/*", "arn:aws:s3:::config/*"}},
	}
	return h
}

// service starts a process, so to say.
func (h *host) service(t *testing.T, volumes Volumes) *Service {
	t.Helper()
	r := resolve.New(awsconf.New(h.config.AWS, "test", "1"), resolve.Options{Timeout: h.config.AWS.Timeout, Policy: ttl.Policy{TTL: time.Hour}})
	t.Cleanup(r.Close)
	return New(Config{StateDir: h.dir, Config: &h.config, Resolver: r, Volumes: volumes, Log: slog.New(slog.NewTextHandler(&h.log, nil))})
}

func id(n int) string { return fmt.Sprintf("%064x", n) }

// The secrets come first, then the files in their order; whoever asks decides what wins.
func TestAnswer(t *testing.T) {
	h := newHost(t)
	db := h.aws.PutSecret(fakeaws.Secret{Name: "prod/db", String: `{"password":"` + canary + `"}`}) + ":password::"
	h.aws.PutObject(fakeaws.Object{Bucket: "config", Key: "a.env", Body: "A=1\r\nB=2"})
	h.aws.PutObject(fakeaws.Object{Bucket: "config", Key: "dir/b.env", Body: "B=3\n"})
	s := h.service(t, nil)
	q := ask.Question{Container: id(1), Secrets: []ask.Secret{{Name: "DB", ValueFrom: db}}, EnvironmentFiles: []string{"arn:aws:s3:::config/a.env, arn:aws:s3:::config/dir/b.env"}}
	want := []ask.Variable{{Name: "DB", Value: canary}, {Name: "A", Value: "1", File: true}, {Name: "B", Value: "2", File: true}, {Name: "B", Value: "3", File: true}}
	for _, before := range []bool{false, true} {
		if a := s.Answer(t.Context(), q); a.Error != "" || !slices.Equal(a.Variables, want) || a.Before != before {
			t.Fatalf("answer %+v, before %v", a, before)
		}
	}
	if all := s.Status(); len(all) != 1 || all[0].Name != id(1)[:12] || !slices.Equal(all[0].References, []string{"DB=" + db}) || s.Containers() != 1 {
		t.Errorf("status %+v, %d containers", all, s.Containers())
	}
	// Another process is remembered, and so is a container, by the next service.
	h.aws.SetFault(fakeaws.Fault{Kind: fakeaws.Status500})
	if a := h.service(t, nil).Answer(t.Context(), q); !a.Before || !a.Passing || a.Error == "" || a.Variables != nil {
		t.Errorf("after a restart, while AWS is away: %+v", a)
	}
	if h.log.Len() == 0 || strings.Contains(h.log.String(), canary) {
		t.Errorf("log %s", &h.log)
	}
}

// A container that starts has the value of that moment, whatever is kept; while AWS does not answer, what is kept stands in. Another
// process of a container that runs costs no call.
func TestPresentValue(t *testing.T) {
	h := newHost(t)
	h.config.AWS.Timeout = 10 * time.Second // longer than a container waits that ran before
	put := func(value string) string { return h.aws.PutSecret(fakeaws.Secret{Name: "prod/db", String: value}) }
	s := h.service(t, nil)
	q := ask.Question{Container: id(1), Secrets: []ask.Secret{{Name: "DB", ValueFrom: put("first")}}}
	has := func(exec bool, want string) {
		t.Helper()
		q.Exec = exec
		if a := s.Answer(t.Context(), q); a.Error != "" || len(a.Variables) != 1 || a.Variables[0].Value != want {
			t.Errorf("exec %v: %+v, want %s", exec, a, want)
		}
	}
	has(false, "first")
	put("second")
	has(true, "first")
	has(false, "second")
	h.aws.SetFault(fakeaws.Fault{Kind: fakeaws.Hang})
	has(false, "second")
	if err := h.aws.ClearFaults(); err != nil {
		t.Fatal(err)
	}
}

// What is refused says which variable, and why.
func TestRefused(t *testing.T) {
	h := newHost(t)
	put := func(name, value string) string {
		return h.aws.PutSecret(fakeaws.Secret{Name: "prod/" + name, String: value})
	}
	h.aws.PutObject(fakeaws.Object{Bucket: "config", Key: "zero.env", Body: "A=" + canary + "\x00"})
	h.aws.PutObject(fakeaws.Object{Bucket: "config", Key: "large.env", Body: canary + strings.Repeat("x", maxVariable) + "=1"})
	many := make([]ask.Secret, maxSecrets+1)
	for i := range many {
		many[i] = ask.Secret{Name: fmt.Sprint("N", i), ValueFrom: "/x"}
	}
	s := h.service(t, nil)
	ok := put("ok", "x")
	for _, c := range []struct {
		name    string
		secrets []ask.Secret
		files   []string
		want    string
	}{
		{"too many", many, nil, "at most 500"},
		{"no name", []ask.Secret{{Name: "", ValueFrom: ok}}, nil, "1 to 256 bytes"},
		{"a name with =", []ask.Secret{{Name: "A=B", ValueFrom: ok}}, nil, "without ="},
		{"a long reference", []ask.Secret{{Name: "A", ValueFrom: strings.Repeat("x", 5000)}}, nil, "variable secrets.A: the reference is longer"},
		{"no reference", []ask.Secret{{Name: "A", ValueFrom: canary + "!"}}, nil, "variable secrets.A: "},
		{"not allowed", []ask.Secret{{Name: "A", ValueFrom: "/prod/db"}}, nil, "under [secrets]"},
		{"a byte 0", []ask.Secret{{Name: "A", ValueFrom: put("zero", "a\x00")}}, nil, "a byte 0"},
		{"a large value", []ask.Secret{{Name: "A", ValueFrom: put("large", strings.Repeat("x", maxVariable))}}, nil, "Linux takes at most"},
		{"a byte 0 in a file", nil, []string{"arn:aws:s3:::config/zero.env"}, "environment file arn:aws:s3:::config/zero.env: "},
		{"a large name in a file", nil, []string{"arn:aws:s3:::config/large.env"}, "environment file arn:aws:s3:::config/large.env: a variable has"},
		{"eleven files", nil, []string{strings.Repeat("arn:aws:s3:::config/a.env,", 10) + "arn:aws:s3:::config/a.env"}, "at most 10"},
		{"not S3", nil, []string{"/a.env"}, "an environment file is an S3 object"},
		{"another suffix", nil, []string{"arn:aws:s3:::config/a.txt"}, "ends in .env"},
		{"another type", nil, []string{`[{"value":"` + canary + `","type":"efs"}]`}, "a type other than s3"},
		{"no list", nil, []string{`[` + canary}, "is not a list of the form"},
	} {
		a := s.Answer(t.Context(), ask.Question{Container: id(1), Secrets: c.secrets, EnvironmentFiles: c.files})
		if a.Variables != nil || a.Passing || a.Before || !strings.Contains(a.Error, c.want) || strings.Contains(a.Error, canary) {
			t.Errorf("%s: %+v, want %q", c.name, a, c.want)
		}
	}
	if len(s.Attention()) != 1 || s.Containers() != 0 {
		t.Errorf("attention %q, %d containers", s.Attention(), s.Containers())
	}
	if strings.Contains(h.log.String()+fmt.Sprint(s.Status()), canary) {
		t.Errorf("log %s, status %+v", &h.log, s.Status())
	}
	h.config.Secrets.AllowReferences = nil
	if a := h.service(t, nil).Answer(t.Context(), ask.Question{Container: id(1), Secrets: []ask.Secret{{Name: "A", ValueFrom: ok}}}); !strings.Contains(a.Error, "under [secrets]") {
		t.Errorf("without a list: %+v", a)
	}
}

// incomplete are volumes that lack files.
type incomplete []string

func (v incomplete) Incomplete(name string) error {
	if slices.Contains(v, name) {
		return fmt.Errorf("volume %s lacks db", name)
	}
	return nil
}

// A volume that lacks files is a reason that passes.
func TestIncomplete(t *testing.T) {
	h := newHost(t)
	s := h.service(t, incomplete{"late"})
	if a := s.Answer(t.Context(), ask.Question{Container: id(1), Volumes: []string{"app"}}); a.Error != "" {
		t.Errorf("a complete volume: %+v", a)
	}
	if a := s.Answer(t.Context(), ask.Question{Container: id(1), Volumes: []string{"app", "late"}}); !a.Passing || !a.Before || !strings.Contains(a.Error, "volume late lacks db") {
		t.Errorf("a volume that is not complete: %+v", a)
	}
}

// The file keeps the latest containers, whatever a crash has left in it.
func TestRemembered(t *testing.T) {
	dir := t.TempDir()
	r := newRemembered(dir)
	for i := range 3 {
		if err := r.add(id(i)); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "variables", fileName)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := 3; i < 2*maxRemembered-1; i++ {
		fmt.Fprintln(f, id(i))
	}
	fmt.Fprint(f, id(7)[:20]+"\x00\x00")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	has := func(n int, want bool) {
		t.Helper()
		if got, err := r.has(id(n)); err != nil || got != want {
			t.Errorf("container %d is known: %v, %v, want %v", n, got, err, want)
		}
	}
	r = newRemembered(dir)
	has(maxRemembered-2, false)
	has(maxRemembered-1, true)
	for i := 2*maxRemembered - 1; i < 2*maxRemembered+2; i++ { // the file is written anew between them
		if err := r.add(id(i)); err != nil {
			t.Fatal(err)
		}
	}
	if st, err := os.Stat(path); err != nil || st.Size() > (maxRemembered+10)*70 || st.Mode() != 0o600 {
		t.Errorf("the file has %d bytes, mode %v, %v", st.Size(), st.Mode(), err)
	}
	r = newRemembered(dir)
	has(0, false)
	has(2*maxRemembered+1, true)
	if r.count() != maxRemembered {
		t.Errorf("%d are remembered", r.count())
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, err := newRemembered(dir).has(id(1)); err == nil {
		t.Error("a file that cannot be read is taken for an empty one")
	}
}

// An environment file as the ECS agent reads it.
func TestParseFile(t *testing.T) {
	got := parseFile("\ufeffA=1\n#B=2\n # C=3\nD\n=E\nF=\nG=\"x y\" # z\nH=a=b\r\n\nI=last")
	want := []ask.Variable{{Name: "A", Value: "1", File: true}, {Name: " # C", Value: "3", File: true}, {Name: "G", Value: `"x y" # z`, File: true}, {Name: "H", Value: "a=b", File: true}, {Name: "I", Value: "last", File: true}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if refs, err := parseFiles([]string{`[{"value":"arn:aws:s3:::config/a.env","type":"s3"},{"value":"arn:aws:s3:::config/c.env"}]`}); err != nil || len(refs) != 2 {
		t.Errorf("a list of ECS: %v, %v", refs, err)
	}
}

// Serve answers many at once, within its bounds, and ends with its context; what is not a question has no answer.
func TestServe(t *testing.T) {
	h := newHost(t)
	dir, err := os.MkdirTemp("", "srvars-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("unix", dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- h.service(t, nil).Serve(ctx, l, 2) }()
	reference := h.aws.PutSecret(fakeaws.Secret{Name: "prod/db", String: "x"})
	answers := make(chan error, 20)
	for i := range cap(answers) {
		go func() {
			a, err := ask.Ask(ctx, dir+"/s", ask.Question{Container: id(i), Secrets: []ask.Secret{{Name: "A", ValueFrom: reference}}})
			if err == nil && (a.Error != "" || len(a.Variables) != 1 || a.Variables[0].Value != "x") {
				err = fmt.Errorf("answer %+v", a)
			}
			answers <- err
		}()
	}
	for range cap(answers) {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "{", `["` + canary + `"]`, strings.Repeat(" ", ask.MaxQuestion+1)} {
		c, err := net.Dial("unix", dir+"/s")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, bad)
		_ = c.(*net.UnixConn).CloseWrite() // the service may have hung up
		if b, _ := io.ReadAll(c); len(b) > 0 {
			t.Errorf("%.20q has the answer %s", bad, b)
		}
		_ = c.Close()
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
