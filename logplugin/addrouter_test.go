package logplugin

import (
	"context"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/dockerplugin"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/session"
	"github.com/secretref/secretref/logplugin/state"
	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/resolve"
	"github.com/secretref/secretref/shared/ttl"
)

// example is a whole router: what its package would have, and all that the log driver needs of it.
type example struct {
	options router.Options

	mu    sync.Mutex
	lines []string
}

var exampleOptions = []router.Option{
	{Name: "example-url", Required: true, Address: true},
	{Name: "example-key", Credential: true},
	{Name: "example-stream", Session: true, Template: true},
}

func (x *example) kind() router.Kind {
	form := router.AddressForm{Option: "example-url", Ports: map[string]string{"https": "443"}, Example: "https://HOST"}
	return form.Kind(router.Kind{Name: "example", Options: exampleOptions, New: func(o router.Options) (router.Config, error) {
		x.options = o
		return x, nil
	}})
}

func (x *example) Router() router.Router { return x }
func (x *example) Batches() int          { return 0 }

func (x *example) Encoder(ctx context.Context, _ router.Session) (router.Encoder, error) {
	v, err := x.options.Session(ctx, exampleOptions)
	if err != nil {
		return nil, router.FromSource("read example log-opts", err)
	}
	return exampleEncoder(v.String("example-stream", "")), nil
}

type exampleEncoder string

func (e exampleEncoder) AppendRecord(dst []byte, r *router.Record) []byte {
	return append(append(append(dst, e...), ' '), r.Line...)
}

func (x *example) Send(_ context.Context, b *router.Batch) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range b.Len() {
		x.lines = append(x.lines, string(b.Body[b.Start(i):b.Ends[i]]))
	}
	return nil
}

func (x *example) Close() error                            { return nil }
func (x *example) Verify(context.Context) error            { return nil }
func (x *example) VerifyCredentials(context.Context) error { return nil }

func (x *example) sent() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.lines)
}

// A router is its package and a line in the list: with its Kind alone a container is admitted or refused, its lines are
// sent, and check knows it.
func TestExampleRouter(t *testing.T) {
	x, dir := &example{}, t.TempDir()
	cfg := &config.Config{AWS: config.AWS{Region: "eu-west-1"}}
	cfg.Logs.AllowOptions = true
	cfg.Logs.SpoolMinFree, cfg.Logs.SpoolMaxBytes, cfg.Logs.SpoolTotal = -1, 64<<20, 1<<30
	cfg.Logs.AllowRouters = []string{"https://*.example.com"}
	resolver := resolve.New(awsconf.New(cfg.AWS, "test", "1"), resolve.Options{Timeout: time.Second, Policy: ttl.Policy{TTL: time.Minute}})
	t.Cleanup(func() { resolver.Close() })
	d, err := state.Open(t.Context(), filepath.Join(dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	c := session.Config{State: d, Config: cfg, Resolver: resolver, Kinds: append(Routers(), x.kind())}
	s, err := session.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	opts := map[string]string{"logDriver": "example", "example-url": "https://logs.example.com", "example-key": "k", "example-stream": "{{.Name}}"}

	var found []string
	if err := session.Check(t.Context(), c, session.Trial{LogOpts: opts, Line: "trial"}, func(f session.Finding) { found = append(found, f.What) }); err != nil {
		t.Fatal(err)
	}
	want := []string{"log options: logDriver example https://logs.example.com:443", "log-opt example-key", "the router answers", "the router takes the credentials", "the router takes a line: trial"}
	if !slices.Equal(found, want) {
		t.Errorf("check finds %q, want %q", found, want)
	}

	start := func(name string, opts map[string]string) (*os.File, error) {
		file := filepath.Join(dir, name)
		if err := unix.Mkfifo(file, 0o700); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(file, os.O_RDWR, 0) // as the daemon
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f, s.Start(t.Context(), file, dockerplugin.Info{Config: opts, ContainerID: strings.Repeat(name, 64), ContainerName: "/" + name})
	}
	for option, wrong := range map[string]string{"example-url": "https://evil.example", "example-kye": "k"} {
		bad := map[string]string{option: wrong, "logDriver": "example"}
		if option != "example-url" {
			bad["example-url"] = opts["example-url"]
		}
		if _, err := start(string(option[8]), bad); err == nil || !strings.Contains(err.Error(), option) {
			t.Errorf("%s=%s: %v, want an error that names the option", option, wrong, err)
		}
	}
	f, err := start("a", opts)
	if err != nil {
		t.Fatal(err)
	}
	write(t, f, "hello")
	await(t, "the line", func() bool { return slices.Equal(x.sent(), []string{"check trial", "a hello"}) })
}

// Besides its own folder, only the list names a router: nothing else of the program changes when there is another one.
func TestRoutersAreNamedInOneFile(t *testing.T) {
	for _, k := range Routers() {
		if k.Translate != nil {
			continue // its package names all others
		}
		var files []string
		err := filepath.WalkDir(".", func(p string, e fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case e.IsDir() && slices.Contains([]string{"router/" + k.Name, "router/routertest", "bench", "integration", "parity"}, p):
				return filepath.SkipDir // its own, receivers of tests, and comparisons with Docker's driver of that name
			case e.IsDir() && p == "router/firelens":
				return filepath.SkipDir // it translates into the options of all
			case e.IsDir() && slices.Contains([]string{"router/http", "fluentbit"}, p) && k.Name == "gelf":
				return filepath.SkipDir // one of their formats has that name
			case strings.HasSuffix(p, ".go") && !strings.HasSuffix(p, "_test.go") && names(t, p, words(k)):
				files = append(files, p)
			}
			return nil
		})
		if err != nil || !slices.Equal(files, []string{"routers.go"}) {
			t.Errorf("router %s is named in %q, %v, want routers.go alone", k.Name, files, err)
		}
	}
}

// words are what names a router in code: its package, its options, and its name where that is not a word of others too.
func words(k router.Kind) []string {
	all := []string{"router/" + k.Name + `"`}
	if !slices.Contains([]string{"http", "null", "tcp", "s3"}, k.Name) {
		all = append(all, k.Name)
	}
	for _, o := range k.Options {
		all = append(all, o.Name)
	}
	return all
}

// names reports whether the code of a file, without its comments, has one of the words in a text or an import.
func names(t *testing.T, file string, words []string) bool {
	t.Helper()
	f, err := parser.ParseFile(gotoken.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	ast.Inspect(f, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && slices.ContainsFunc(words, func(w string) bool { return strings.Contains(l.Value, w) }) {
			found = true
		}
		return true
	})
	return found
}
