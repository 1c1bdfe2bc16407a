// Package shared_test guards the arrows of the module: who may import whom. The front of the credential helper is
// started for every docker pull, and one wrong import would bring in the AWS SDK and multiply its start.
package shared_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/secretref/secretref/"

const awsSDK = "github.com/aws/..."

// An arrow that must not be: no package of from may reach one of to, by however many steps.
type rule struct {
	name   string
	from   []string // patterns: module paths, with the module's name left out, that end in a name, in /* (one level) or in /... (itself and all below)
	to     []string // patterns of the same kind; a first element with a dot, or std:, is a package outside of the module
	except []string // patterns of packages in from to which the rule does not speak
	direct bool     // only what a package itself imports, its tests included
	others bool     // to is meant for other packages than the one in from, and what is below it
}

var rules = []rule{
	{name: "shared knows neither program", from: []string{"shared/..."}, to: []string{"credhelper/...", "logplugin/..."}},
	{name: "shared knows neither program, in tests too", direct: true,
		from: []string{"shared/..."}, to: []string{"credhelper/...", "logplugin/..."}},
	{name: "the programs do not know each other", from: []string{"credhelper/..."}, to: []string{"logplugin/..."}},
	{name: "the programs do not know each other", from: []string{"logplugin/..."}, to: []string{"credhelper/..."}},
	{name: "the warm path links no network", from: []string{"credhelper/cmd/docker-credential-secretref"},
		to: []string{awsSDK, "std:net/http", "std:crypto/tls"}},
	{name: "what starts with every call of the container runtime links no HTTP and no AWS", from: []string{"logplugin/cmd/secretref-runtime"},
		to: []string{awsSDK, "std:net/http", "std:crypto/tls"}},
	{name: "what the warm path is made of links no network", to: []string{awsSDK, "std:net/http"}, from: []string{
		"shared/secret", "shared/fault", "shared/ttl", "shared/secretref", "shared/registryhost", "shared/ecrhost", "shared/safefile", "shared/size",
		"shared/config", "shared/hostcache"}},
	{name: "a router knows no AWS, but for those to its services", from: []string{"logplugin/router/*"}, to: []string{awsSDK},
		except: []string{"logplugin/router/awslogs", "logplugin/router/firehose", "logplugin/router/kinesis", "logplugin/router/s3"}},
	{name: "what routers share knows none of them", from: []string{"logplugin/awsrouter"}, to: []string{"logplugin/router/*"}},
	{name: "a router knows no other router", from: []string{"logplugin/router/*"}, to: []string{"logplugin/router/*"},
		except: []string{"logplugin/router/routertest"}, others: true},
	{name: "test parts stay in tests and the demo", to: []string{"shared/rig", "shared/fakeaws", "shared/ecs"},
		from: []string{"credhelper/...", "logplugin/...", "shared/..."}, except: []string{
			"shared/rig", "shared/fakeaws/...", "shared/ecs", "logplugin/router/routertest", "credhelper/bench/...", "logplugin/bench/..."}},
}

// pkg is one package as `go list -json` tells it.
type pkg struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func TestArrows(t *testing.T) {
	graph := list(t)
	for _, name := range []string{"shared/secret", "shared/fault", "shared/rig"} {
		if _, ok := graph[module+name]; !ok {
			t.Fatalf("go list shows no %s: the test would see nothing", name)
		}
	}
	for _, r := range rules {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(graph)), func(p string) bool { return matches(r.from, p) }) {
			t.Logf("%s: there is no package %q yet", r.name, r.from)
		}
		for _, v := range violations(graph, r) {
			t.Errorf("%s: %s", r.name, v)
		}
	}
}

// list returns all packages of the module and all that they import, for a Linux build with every test.
func list(t *testing.T) map[string]pkg {
	t.Helper()
	lookAtSources(t)
	cmd := exec.CommandContext(t.Context(), "go", "list", "-tags", "integration", "-deps",
		"-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = ".."
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	graph := map[string]pkg{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return graph
		} else if err != nil {
			t.Fatal(err)
		}
		graph[p.ImportPath] = p
	}
}

// lookAtSources makes every source file an input of this test: `go test` sees only what the test itself looks at, and
// would otherwise show a result from before the wrong import.
func lookAtSources(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir("..", func(p string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && strings.HasPrefix(e.Name(), ".") && p != "..":
			return filepath.SkipDir
		case strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "go.mod"):
			_, err = os.Stat(p)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a file of a test that runs beside this one
		t.Fatal(err)
	}
}

// violations returns one line for each package that breaks r, with the way from it to the forbidden one.
func violations(graph map[string]pkg, r rule) []string {
	var found []string
	for _, from := range slices.Sorted(maps.Keys(graph)) {
		if !matches(r.from, from) || matches(r.except, from) {
			continue
		}
		forbidden := func(p string) bool {
			return matches(r.to, p) && !(r.others && (p == from || strings.HasPrefix(p, from+"/")))
		}
		if r.direct {
			p := graph[from]
			for _, to := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
				if forbidden(to) {
					found = append(found, from+" -> "+to)
				}
			}
		} else if way := reach(graph, from, forbidden); way != nil {
			found = append(found, strings.Join(way, " -> "))
		}
	}
	return found
}

// reach returns the shortest way from a package to a forbidden one, or nil.
func reach(graph map[string]pkg, from string, forbidden func(string) bool) []string {
	before := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		for _, next := range graph[queue[0]].Imports {
			if _, seen := before[next]; seen {
				continue
			}
			before[next] = queue[0]
			if forbidden(next) {
				var way []string
				for p := next; p != ""; p = before[p] {
					way = append(way, p)
				}
				slices.Reverse(way)
				return way
			}
			queue = append(queue, next)
		}
	}
	return nil
}

// matches reports whether one of the patterns, in the form that rule describes, is for importPath.
func matches(patterns []string, importPath string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		if std, ok := strings.CutPrefix(p, "std:"); ok {
			p = std
		} else if first, _, _ := strings.Cut(p, "/"); !strings.Contains(first, ".") {
			p = module + p
		}
		if dir, ok := strings.CutSuffix(p, "/..."); ok {
			return importPath == dir || strings.HasPrefix(importPath, dir+"/")
		}
		ok, _ := path.Match(p, importPath) // the patterns are ours
		return ok
	})
}

// The rules must be able to fail: each is broken once, by a graph that has the wrong arrow.
func TestArrowsCanFail(t *testing.T) {
	const sdk, net, tls = "github.com/aws/aws-sdk-go-v2/aws", "net/http", "crypto/tls"
	for _, c := range []struct {
		rule  string
		edges string // "from to, from to"; names of the module without its name
		want  string // the line, with the module's name left out; "" = none
	}{
		{"shared knows neither program", "shared/a shared/b, shared/b credhelper", "shared/a -> shared/b -> credhelper"},
		{"shared knows neither program", "shared/a logplugin/router/x", "shared/a -> logplugin/router/x"},
		{"shared knows neither program", "credhelper shared/a, shared/a shared/b", ""},
		{"the programs do not know each other", "credhelper/cmd/x logplugin/dockerplugin", "credhelper/cmd/x -> logplugin/dockerplugin"},
		{"the programs do not know each other", "logplugin credhelper/payload", "logplugin -> credhelper/payload"},
		{"the warm path links no network", "credhelper/cmd/docker-credential-secretref credhelper, credhelper " + tls,
			"credhelper/cmd/docker-credential-secretref -> credhelper -> " + tls},
		{"the warm path links no network", "credhelper/cmd/docker-credential-secretref " + net, "credhelper/cmd/docker-credential-secretref -> " + net},
		{"the warm path links no network", "credhelper/cmd/secretref-resolve " + net, ""},
		{"what starts with every call of the container runtime links no HTTP and no AWS", "logplugin/cmd/secretref-runtime logplugin/ociruntime, logplugin/ociruntime " + net,
			"logplugin/cmd/secretref-runtime -> logplugin/ociruntime -> " + net},
		{"what the warm path is made of links no network", "shared/config os, os " + sdk, "shared/config -> os -> " + sdk},
		{"what the warm path is made of links no network", "shared/awsconf " + sdk, ""},
		{"a router knows no AWS, but for those to its services", "logplugin/router/splunk " + sdk, "logplugin/router/splunk -> " + sdk},
		{"a router knows no AWS, but for those to its services", "logplugin/session " + sdk, ""},
		{"a router knows no other router", "logplugin/router/splunk logplugin/router/gelf", "logplugin/router/splunk -> logplugin/router/gelf"},
		{"a router knows no other router", "logplugin/router/splunk logplugin/router/splunk/internal", ""},
		{"a router knows no other router", "logplugin/router/routertest logplugin/router/gelf", ""},
		{"test parts stay in tests and the demo", "credhelper shared/fakeaws", "credhelper -> shared/fakeaws"},
		{"test parts stay in tests and the demo", "packaging/demo shared/fakeaws", ""},
	} {
		graph := map[string]pkg{}
		for _, e := range strings.Split(c.edges, ", ") {
			from, to, _ := strings.Cut(e, " ")
			if from != "os" {
				from = module + from
			}
			if strings.HasPrefix(to, "shared/") || strings.HasPrefix(to, "credhelper") || strings.HasPrefix(to, "logplugin") {
				to = module + to
			}
			graph[from] = pkg{ImportPath: from, Imports: append(graph[from].Imports, to)}
		}
		var got []string
		known := false
		for _, r := range rules {
			if r.name == c.rule {
				known = true
				got = append(got, violations(graph, r)...)
			}
		}
		first := strings.ReplaceAll(fmt.Sprint(append(got, "")[0]), module, "")
		if !known || first != c.want {
			t.Errorf("%s: with %s: %q, want %q", c.rule, c.edges, first, c.want)
		}
	}
	inTest := map[string]pkg{module + "shared/a": {XTestImports: []string{module + "credhelper"}}}
	if got := violations(inTest, rules[1]); len(got) != 1 {
		t.Errorf("an import of a test: %q, want one line", got)
	}
}
