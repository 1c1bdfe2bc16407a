package volume

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/dockerplugin"
	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/polltest"
	"github.com/secretref/secretref/shared/resolve"
	"github.com/secretref/secretref/shared/ttl"
)

// host is what volumes find: an AWS, a state directory and a tmpfs.
type host struct {
	t      *testing.T
	aws    *fakeaws.Server
	config config.Config
	dir    string
	wait   time.Duration
	broken error
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, aws: fakeaws.New(t, fakeaws.Options{}), dir: t.TempDir(), wait: 20 * time.Second}
	for _, pair := range append(h.aws.Environ(), "AWS_CA_BUNDLE=") {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
	values, err := os.MkdirTemp("/dev/shm", "srvol-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(values) })
	h.config = config.Config{
		AWS: config.AWS{Region: "eu-west-1", Timeout: 20 * time.Second}, Cache: config.Cache{Policy: ttl.Policy{TTL: time.Hour}},
		Secrets: config.Secrets{AllowReferences: []string{"arn:aws:secretsmanager:*:*:secret:prod/*"}, ValuesDir: values, VolumesDir: values},
	}
	return h
}

// volumes starts a process, so to say.
func (h *host) volumes() *Volumes {
	h.t.Helper()
	r := resolve.New(awsconf.New(h.config.AWS, "test", "1"), resolve.Options{Timeout: h.config.AWS.Timeout, Policy: h.config.Cache.Policy})
	h.t.Cleanup(r.Close)
	v := New(Config{StateDir: h.dir, Config: &h.config, Resolver: r, Broken: h.broken, Log: slog.New(slog.DiscardHandler), wait: h.wait})
	h.t.Cleanup(v.Close)
	return v
}

func (h *host) file(volume, name string) string {
	b, err := os.ReadFile(filepath.Join(h.config.Secrets.ValuesDir, volume, name))
	if err != nil {
		return "error"
	}
	return string(b)
}

func (h *host) create(v *Volumes, name string, pairs ...string) {
	h.t.Helper()
	options := map[string]string{}
	for _, p := range pairs {
		key, value, _ := strings.Cut(p, "=")
		options[key] = value
	}
	if err := v.Create(name, options); err != nil {
		h.t.Fatal(err)
	}
}

func mustMount(t *testing.T, v *Volumes, name, id string) {
	t.Helper()
	if _, err := v.Mount(t.Context(), name, id); err != nil {
		t.Fatal(err)
	}
}

// A volume from its creation to its end, with a rotation, and one call for the keys of one secret.
func TestLife(t *testing.T) {
	h := newHost(t)
	db := h.aws.PutSecret(fakeaws.Secret{Name: "prod/db", String: `{"user":"u1","password":"p1"}`})
	v := h.volumes()
	h.create(v, "app", "secrets.user="+db+":user::", "secrets.password="+db+":password::", "mode=0440")
	if n := len(h.aws.Calls()); n != 0 {
		t.Errorf("Create made %d calls to AWS", n)
	}
	if got, err := v.Mount(t.Context(), "app", "c1"); err != nil || got != h.config.Secrets.VolumesDir+"/app" {
		t.Fatalf("Mount = %q, %v", got, err)
	}
	if h.file("app", "user") != "u1" || h.file("app", "password") != "p1" {
		t.Errorf("files %q %q", h.file("app", "user"), h.file("app", "password"))
	}
	if n := len(h.aws.Calls()); n != 1 {
		t.Errorf("%d calls, want 1 for both keys", n)
	}
	if st, err := os.Stat(filepath.Join(h.config.Secrets.ValuesDir, "app", "user")); err != nil || st.Mode() != 0o440 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	version, _ := os.Readlink(filepath.Join(h.config.Secrets.ValuesDir, "app", dataLink))
	mustMount(t, v, "app", "c1") // as docker cp does
	v.Unmount("app", "c1")
	if again, _ := os.Readlink(filepath.Join(h.config.Secrets.ValuesDir, "app", dataLink)); again != version {
		t.Errorf("a Mount without a change wrote %s, want %s as before", again, version)
	}

	h.aws.PutSecret(fakeaws.Secret{Name: "prod/db", String: `{"user":"u2","password":"p2"}`})
	if n, err := v.Refresh(t.Context(), ""); n != 1 || err != nil {
		t.Errorf("Refresh = %d, %v", n, err)
	}
	if h.file("app", "user") != "u2" || h.file("app", "password") != "p2" {
		t.Errorf("files after a rotation %q %q", h.file("app", "user"), h.file("app", "password"))
	}
	entries, _ := os.ReadDir(filepath.Join(h.config.Secrets.ValuesDir, "app"))
	if len(entries) != 4 { // ..TIME, ..data and the two
		t.Errorf("the directory has %v", entries)
	}
	for range 2 {
		if err := v.Remove("app"); err != nil {
			t.Error(err)
		}
	}
	if left, _ := filepath.Glob(h.config.Secrets.ValuesDir + "/*"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	if _, err := v.Get("app"); err == nil || errors.Is(err, dockerplugin.ErrHangUp) {
		t.Errorf("Get of a removed volume: %v", err)
	}
}

// What Mount answers for each kind of failure, before and after a container has had the volume.
func TestMountFailures(t *testing.T) {
	denied := fakeaws.Fault{Kind: fakeaws.Custom, Code: "AccessDeniedException"}
	hang := fakeaws.Fault{Kind: fakeaws.Hang}
	for _, c := range []struct {
		name, failure  string
		fault          fakeaws.Fault
		before, reboot bool // mounted before; and then the host was restarted
		want           string
		files          []string
	}{
		{"away, new", "auto", hang, false, false, "no answer", nil},
		{"away, mounted before", "auto", hang, true, false, "", []string{"db"}},
		{"away, mounted before, restart", "auto", hang, true, true, "", nil},
		{"away, restart, fail", "fail", hang, true, true, "no answer", nil},
		{"away, new, start", "start", hang, false, false, "", nil},
		{"denied, new", "auto", denied, false, false, "access denied", nil},
		{"denied, mounted before", "auto", denied, true, false, "access denied", []string{"db"}},
		{"denied, start", "start", denied, false, false, "access denied", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			mountFailure(t, c.failure, c.fault, c.before, c.reboot, c.want, c.files)
		})
	}
}

func mountFailure(t *testing.T, failure string, f fakeaws.Fault, before, reboot bool, want string, files []string) {
	h := newHost(t)
	db := h.aws.PutSecret(fakeaws.Secret{Name: "prod/db", String: "value"})
	v := h.volumes()
	h.create(v, "app", "secrets.db="+db, "secret-failure="+failure)
	if before {
		mustMount(t, v, "app", "c1")
		v.Close()
		if reboot {
			if err := os.RemoveAll(h.config.Secrets.ValuesDir + "/app"); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.aws.SetFault(f)
	if f.Kind == fakeaws.Hang {
		h.wait, h.config.AWS.Timeout = 300*time.Millisecond, 200*time.Millisecond
	}
	v = h.volumes()
	_, err := v.Mount(t.Context(), "app", "c2")
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("Mount: %v, want %q", err, want)
	}
	if got, _ := v.tree.present("app"); !slices.Equal(got, files) {
		t.Errorf("files %q, want %q", got, files)
	}
	if s := v.Status(); len(s) != 1 || s[0].LastError == "" || len(v.Attention()) == 0 {
		t.Errorf("status says nothing: %+v", s)
	}
	if err != nil {
		return
	}
	if err := h.aws.ClearFaults(); err != nil {
		t.Fatal(err)
	}
	polltest.Until(t, 20*time.Second, "the file", func() bool { return h.file("app", "db") == "value" })
}

// A value that is denied or deleted while a container has it stays, and status says so.
func TestDeniedWhileMounted(t *testing.T) {
	h := newHost(t)
	db := h.aws.PutSecret(fakeaws.Secret{Name: "prod/db", String: "value"})
	v := h.volumes()
	h.create(v, "app", "secrets.db="+db)
	mustMount(t, v, "app", "c1")
	h.aws.SetFault(fakeaws.Fault{Kind: fakeaws.Custom, Code: "AccessDeniedException"})
	if _, err := v.Refresh(t.Context(), "app"); err == nil || !strings.Contains(err.Error(), "access denied") {
		t.Errorf("Refresh: %v", err)
	}
	if got := h.file("app", "db"); got != "value" {
		t.Errorf("the file is %q", got)
	}
	if s := v.Status(); !strings.Contains(s[0].LastError, "access denied") {
		t.Errorf("status %+v", s)
	}
}

// The policy is looked at again by Mount and by the refresh; no policy means no reference.
func TestPolicy(t *testing.T) {
	h := newHost(t)
	db := h.aws.PutSecret(fakeaws.Secret{Name: "prod/db", String: "value"})
	h.create(h.volumes(), "app", "secrets.db="+db)
	h.config.Secrets.AllowReferences = nil
	v := h.volumes()
	if _, err := v.Mount(t.Context(), "app", "c1"); err == nil || !strings.Contains(err.Error(), `allow_references = ["`+db+`"]`) {
		t.Errorf("Mount: %v, want the line to add", err)
	}
	if err := v.Create("other", map[string]string{"secrets.db": db}); err == nil || !strings.Contains(err.Error(), "under [secrets]") {
		t.Errorf("Create: %v, want the line to add", err)
	}
	if n := len(h.aws.Calls()); n != 0 {
		t.Errorf("%d calls for references that are not allowed", n)
	}
}

// A process that cannot read its state does not say that there is no such volume, and one file that is damaged is one volume.
func TestState(t *testing.T) {
	h := newHost(t)
	v := h.volumes()
	h.create(v, "app", "secrets.db="+arn)
	h.create(v, "app", "secrets.db="+arn) // the same again
	if err := v.Create("app", map[string]string{"secrets.x": arn}); err == nil || !strings.Contains(err.Error(), "options never change") {
		t.Errorf("Create with other options: %v", err)
	}
	for _, name := range []string{"../x", "a/b", ""} {
		if err := v.Create(name, map[string]string{"secrets.db": arn}); err == nil {
			t.Errorf("Create of %q succeeds", name)
		}
	}
	if err := os.WriteFile(h.dir+"/volumes/bad.json", []byte(`{"name":"ba`), 0o600); err != nil {
		t.Fatal(err)
	}
	v = h.volumes()
	all, err := v.List()
	if err != nil || len(all) != 2 || all[0].Name != "app" {
		t.Errorf("List = %+v, %v", all, err)
	}
	if _, err := v.Get("bad"); err != nil {
		t.Errorf("Get of a volume whose file is damaged: %v", err)
	}
	if _, err := v.Mount(t.Context(), "bad", "c"); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("Mount of it: %v", err)
	}
	if err := os.Rename(h.dir+"/volumes", h.dir+"/kept"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.dir+"/volumes", nil, 0o600); err != nil { // cannot be read
		t.Fatal(err)
	}
	v = h.volumes()
	if _, err := v.Get("app"); !errors.Is(err, dockerplugin.ErrHangUp) {
		t.Errorf("Get while the state cannot be read: %v, want no answer", err)
	}
	if err := os.Remove(h.dir + "/volumes"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(h.dir+"/kept", h.dir+"/volumes"); err != nil {
		t.Fatal(err)
	}
	if got, err := v.Get("app"); err != nil || got.Name != "app" {
		t.Errorf("Get once it can: %+v, %v", got, err)
	}
}

// Nothing is written where the file system is not a tmpfs.
func TestNoTmpfs(t *testing.T) {
	h := newHost(t)
	db := h.aws.PutSecret(fakeaws.Secret{Name: "prod/db", String: "value"})
	h.config.Secrets.ValuesDir, h.config.Secrets.VolumesDir = "/proc", "/proc"
	v := h.volumes()
	h.create(v, "app", "secrets.db="+db)
	if _, err := v.Mount(t.Context(), "app", "c"); !errors.Is(err, errNoTmpfs) {
		t.Errorf("Mount: %v, want %v", err, errNoTmpfs)
	}
	if a := v.Attention(); !strings.Contains(fmt.Sprint(a), "not one") {
		t.Errorf("status: %q", a)
	}
}

// Values that are together too large are refused, and leave nothing.
func TestTooLarge(t *testing.T) {
	h := newHost(t)
	h.wait, h.config.AWS.Timeout = 20*time.Second, 20*time.Second
	var pairs []string
	for i := range 65 {
		pairs = append(pairs[:max(0, min(len(pairs), 63))], fmt.Sprintf("secrets.f%d=%s", i,
			h.aws.PutSecret(fakeaws.Secret{Name: fmt.Sprint("prod/s", i), String: strings.Repeat("x", 65536+4096)})))
	}
	v := h.volumes()
	h.create(v, "app", pairs...)
	if _, err := v.Mount(t.Context(), "app", "c"); err == nil || !strings.Contains(err.Error(), "holds at most 4194304") {
		t.Errorf("Mount: %v", err)
	}
	if left, _ := filepath.Glob(h.config.Secrets.ValuesDir + "/*"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// While the configuration cannot be used, containers that have had their files get them, and nothing new is created.
func TestBroken(t *testing.T) {
	h := newHost(t)
	db := h.aws.PutSecret(fakeaws.Secret{Name: "prod/db", String: "value"})
	v := h.volumes()
	h.create(v, "app", "secrets.db="+db)
	h.create(v, "new", "secrets.db="+db)
	mustMount(t, v, "app", "c1")
	v.Close()
	h.broken = errors.New("line 3 is wrong")
	v = h.volumes()
	mustMount(t, v, "app", "c1")
	for what, err := range map[string]error{
		"Create": v.Create("other", map[string]string{"secrets.db": db}),
		"Mount":  func() error { _, err := v.Mount(context.Background(), "new", "c"); return err }(),
	} {
		if err == nil || !strings.Contains(err.Error(), "line 3 is wrong") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
