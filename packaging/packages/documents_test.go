//go:build integration

package packages_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	commands "github.com/secretref/secretref/packaging/docs/recipes"
	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/rig"
)

// reader is a person at a Debian who does what the pages say.
type reader struct {
	*world
	test string
	next map[string]int // by page, the recipe that comes next
}

// page runs the next recipe of a page, in a shell that ends at the first error, and returns what it shows.
func (r *reader) page(page string, changes ...string) string {
	r.t.Helper()
	all, err := commands.Of("../..", r.test, page)
	if err != nil {
		r.t.Fatal(err)
	}
	n := r.next[page]
	r.next[page]++
	if n >= len(all) {
		r.t.Fatalf("%s has no recipe %d", page, n+1)
	}
	began := time.Now()
	out := r.do(strings.NewReplacer(changes...).Replace(all[n]))
	r.t.Logf("%s, recipe %d: %v", page, n+1, time.Since(began).Round(time.Millisecond))
	return out
}

// shows does the same, and wants a text to be shown.
func (r *reader) shows(want, page string, changes ...string) {
	r.t.Helper()
	if out := r.page(page, changes...); !strings.Contains(out, want) {
		r.t.Errorf("%s: recipe %d does not show %q:\n%s", page, r.next[page], want, out)
	}
}

// done wants every recipe that is for the test to have run.
func (r *reader) done() {
	r.t.Helper()
	for page := range commands.Pages(r.test) {
		if all, err := commands.Of("../..", r.test, page); err != nil || r.next[page] != len(all) {
			r.t.Errorf("%s: %d of %d recipes have run, %v", page, r.next[page], len(all), err)
		}
	}
}

// settings appends a page's example of config.toml to the file.
func (r *reader) settings(page string) {
	r.t.Helper()
	m := regexp.MustCompile("(?ms)^ *```toml\n(.*?)^ *```").FindStringSubmatch(document(r.t, "packaging/docs/"+page))
	if m == nil {
		r.t.Fatalf("%s has no settings", page)
	}
	r.write("etc/secretref/conf.d/"+strings.TrimSuffix(page, ".md")+".toml", regexp.MustCompile(`(?m)^   `).ReplaceAllString(m[1], ""))
}

// TestDocuments does what the pages say, on one Debian from the first installation to the removal.
func TestDocuments(t *testing.T) {
	deb, _ := build(t, "v0.1.0")
	r := &reader{newWorld(t), documentsTest, map[string]int{}}
	r.copy("root/dist/packages", deb)
	for _, name := range []string{"app/db", "prod/db"} {
		r.aws.PutSecret(fakeaws.Secret{Name: name, Suffix: "AbCdEf", String: `{"password":"` + value + `"}`})
	}
	// Debian's docker.service is reloaded with it; the smallest Debian has no procps.
	if err := r.root.Write("bin/kill", "#!/bin/sh\nkill \"$@\"\n", 0o755); err != nil {
		t.Fatal(err)
	}
	r.pushApp()
	r.do(`docker import -c 'CMD ["sh", "-c", "for f in /run/secrets/*; do read -r v <$f || echo read $v; done; echo variable $DB_PASSWORD"]' ` + small + ` show
docker import -c 'CMD ["sh", "-c", "read -r v </run/secrets/db-password || echo read $v; sleep 1000"]' ` + small + ` stay`)
	r.page("install.md")
	r.until("the driver answers", func() bool { _, err := r.try("secretref-logdriver status"); return err == nil })

	r.settings("registries.md")
	const pulled = "Status: Downloaded newer image for registry.example.com/team/app"
	r.shows(pulled, "registries.md")
	r.do("docker rmi registry.example.com/team/app")
	r.shows(pulled, "docker-credential-secretref.1")
	r.do("docker rmi registry.example.com/team/app")
	r.shows(pulled, "docker-credential-secretref.1")

	t.Run("routers", func(t *testing.T) { r.t = t; r.routers(t) })
	t.Run("files", func(t *testing.T) { r.t = t; r.files() })
	t.Run("variables", func(t *testing.T) { r.t = t; r.variables() })
	t.Run("numbers", func(t *testing.T) { r.t = t; r.numbers() })
	t.Run("plugin", func(t *testing.T) { r.t = t; r.plugin() })
	r.t = t
	r.shows("Purging configuration files for secretref", "install.md", "apt purge", "apt purge -y")
	r.done()
}

const (
	documentsTest = "TestDocuments"
	value         = "the-value-of-app-db"
	small         = "/root/small.tar"
	push          = "docker plugin create registry.example.com/secretref/logdriver:"
)

// pushApp puts the image of the pages into the registry.
func (w *world) pushApp() {
	w.t.Helper()
	w.do(`docker save debian:12 >/dev/null; docker export $(docker create debian:12 sh) >` + small + `
docker tag debian:12 registry.example.com/team/app
printf %s '` + w.password + `' | docker login -u deploy --password-stdin registry.example.com
docker push -q registry.example.com/team/app
docker logout registry.example.com
rm -r ~/.docker
docker rmi registry.example.com/team/app`)
}

func (r *reader) files() {
	r.copy("root/packaging/systemd", glob(r.t, "../systemd/*.socket")...)
	r.copy("root/packaging/systemd", glob(r.t, "../systemd/*.mount")...)
	r.page("secrets-as-files.md")
	r.settings("secrets-as-files.md")
	r.page("secrets-as-files.md")
	r.next["secrets-as-files.md"]++ // as a managed plugin
	r.shows("read "+value, "secrets-as-files.md", "IMAGE", "show")
	r.shows("", "secrets-as-files.md")
	r.do("docker rm $(docker ps -aq) && docker volume rm app-secrets")
}

func (r *reader) variables() {
	dir := r.t.TempDir()
	program, err := rig.Build(r.t.Context(), dir+"/secretref-runtime", "./logplugin/cmd/secretref-runtime")
	if err != nil {
		r.t.Fatal(err)
	}
	r.copy("root/bin", program)
	r.page("secrets-as-variables.md")
	r.page("secrets-as-variables.md")
	r.shows("variable "+value, "secrets-as-variables.md", "IMAGE", "show")
	r.page("secrets-as-variables.md")
}

func (r *reader) numbers() {
	// The program is the machine's, the socket the root's.
	for _, page := range []string{"runbook.md", "secretref-logdriver.1"} {
		all, err := commands.Of("../..", r.test, page)
		if err != nil {
			r.t.Fatal(err)
		}
		n := r.next[page]
		r.next[page]++
		script := strings.Replace(all[n], "/var/lib/secretref", r.root.Path("var/lib/secretref"), 1)
		out, err := rig.Cmd{Args: []string{"sh", "-c", script}, Timeout: time.Minute}.Run(r.t.Context())
		if err != nil || !strings.Contains(out.Stdout, "\nsecretref_") {
			r.t.Errorf("%s: %s%v\n%s", page, script, err, out.Output)
		}
	}
	r.shows("secretref-logdriver", "without-secretref.md")
	r.do("systemctl disable --now secretref-logdriver.socket secretref-logdriver.service secretref-files.socket secretref-runtime.socket")
}

// plugin builds the managed plugin as make does, and takes it through the pages that are about it.
func (r *reader) plugin() {
	for _, kind := range [][]string{{"plugin"}, {"plugin-volumes", "volumes"}} {
		dir := filepath.Join(r.t.TempDir(), kind[0])
		authority := filepath.Join(r.t.TempDir(), "ca.pem")
		write(r.t, authority, string(r.ca.PEM()), 0o600)
		c := rig.Cmd{Args: append([]string{"../plugin/build", "1.0.0", dir}, kind[1:]...), Env: append(os.Environ(), "CERTIFICATES="+authority), Timeout: 5 * time.Minute}
		if _, err := c.Run(r.t.Context()); err != nil {
			r.t.Fatal(err)
		}
		if err := os.CopyFS(r.root.Path("root/dist/"+kind[0]), os.DirFS(dir)); err != nil {
			r.t.Fatal(err)
		}
	}
	r.page("plugin.md", "make plugin", "true")
	// The daemon does not make a plugin of contents that it has: each gets a file of its own.
	r.do("docker plugin rm registry.example.com/secretref/logdriver:1.0.0-amd64") // it was built elsewhere
	r.shows("hello", "plugin.md", "SECRETREF_AWS_REGION", "SECRETREF_AWS_ENDPOINT_URL=http://"+api+" SECRETREF_AWS_REGION")
	r.until("a line by the plugin", func() bool { return len(r.lines("hello")) > 0 })
	r.page("plugin.md")
	r.page("plugin.md")
	r.page("secretref-logdriver.1")
	r.do("touch dist/plugin/rootfs/newer; " + push + "1.0.1-amd64 dist/plugin; docker plugin push registry.example.com/secretref/logdriver:1.0.1-amd64")
	r.page("plugin.md")

	r.do("touch dist/plugin-volumes/rootfs/volumes; " + push + "1.0.0-volumes-amd64 dist/plugin-volumes; docker plugin push registry.example.com/secretref/logdriver:1.0.0-volumes-amd64")
	r.next["secrets-as-files.md"] = 2
	r.shows("read "+value, "secrets-as-files.md", "IMAGE", "show")
	r.next["secrets-as-files.md"] = 5
	r.do("docker swarm init --advertise-addr 127.0.0.1")
	r.shows("Service converged", "swarm.md", "IMAGE", "stay")
	r.do("docker service rm app; docker swarm leave --force; docker rm -f $(docker ps -aq); docker volume prune -f; docker plugin disable -f secretref; docker plugin rm -f secretref")

	r.do("rm dist/plugin/rootfs/newer; touch dist/plugin/rootfs/release; tar -C dist/plugin -czf secretref-plugin_0.1.0_linux_amd64.tar.gz .")
	r.page("release.md")
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		t.Fatalf("%s: %q, %v", pattern, found, err)
	}
	return found
}
