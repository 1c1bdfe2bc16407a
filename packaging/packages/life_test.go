//go:build integration

package packages_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secretref/secretref/shared/rig"
)

// byThePage returns the commands of a section of the page install.md, which stand indented.
func byThePage(t *testing.T, section string) string {
	t.Helper()
	_, text, ok := strings.Cut(document(t, "packaging/docs/install.md"), "\n## "+section+"\n")
	text, _, _ = strings.Cut(text, "\n## ")
	var commands []string
	for line := range strings.Lines(text) {
		if rest, is := strings.CutPrefix(line, "    "); is && strings.TrimSpace(rest) != "make build" {
			commands = append(commands, rest)
		}
	}
	if !ok || len(commands) == 0 {
		t.Fatalf("install.md: no commands in section %q", section)
	}
	return strings.Join(commands, "")
}

// source puts what a build and a checkout have where the commands of the page find it.
func (w *world) source() {
	w.t.Helper()
	dir := w.t.TempDir()
	for _, programs := range []string{"./credhelper/cmd/...", "./logplugin/cmd/..."} {
		if _, err := rig.Build(w.t.Context(), dir, programs); err != nil {
			w.t.Fatal(err)
		}
	}
	programs, err := filepath.Glob(dir + "/*")
	if err != nil {
		w.t.Fatal(err)
	}
	w.copy("root/bin", programs...)
	for _, part := range []string{"man/*.[15]", "config/config.toml", "systemd/*.socket", "systemd/*.service"} {
		files, err := filepath.Glob("../" + part)
		if err != nil || len(files) == 0 {
			w.t.Fatalf("%s: %q, %v", part, files, err)
		}
		w.copy("root/packaging/"+filepath.Dir(part), files...)
	}
}

// flows waits for lines of the container that were written after now, and are delivered.
func (w *world) flows(after string) {
	w.t.Helper()
	before := len(w.lines("line "))
	w.until("lines after "+after, func() bool { return len(w.lines("line ")) > before+20 })
}

// TestLife is that of a host whose containers never stop: installed by hand, then from the package, upgraded, downgraded, removed, purged.
func TestLife(t *testing.T) {
	t.Parallel() // most of it is waiting, in a root of its own
	older, _ := build(t, "v0.1.0")
	newer, _ := build(t, "v0.2.0")
	w := newWorld(t)
	w.source()
	w.copy("root", older, newer)
	w.write("etc/secretref/conf.d/logs.toml", `[logs.destinations.prod]
logDriver = "splunk"
splunk-url = "https://hec.example.com:8088"
secretOptions.splunk-token = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/splunk-AbCdEf:token::"
`)
	w.do(byThePage(t, "By hand"))
	const version = "secretref-logdriver version; docker-credential-secretref version"
	w.do(`docker run -d --name app --log-driver secretref --log-opt destination=prod debian:12 \
	sh -c 'i=0; while :; do echo "line $i"; i=$((i+1)); sleep 0.01; done'`)
	w.flows("the start")

	out := w.do("apt-get install -y ./" + filepath.Base(older))
	for _, file := range []string{"/etc/systemd/system/secretref-logdriver.socket", "/etc/systemd/system/secretref-logdriver.service", "/usr/bin/secretref-resolve"} {
		if !strings.Contains(out, file+" is used in place of") {
			t.Errorf("the installation does not name %s:\n%s", file, out)
		}
	}
	w.flows("the package over the installation by hand")
	w.do("rm /etc/systemd/system/secretref-logdriver.socket /etc/systemd/system/secretref-logdriver.service /usr/bin/secretref-resolve; systemctl daemon-reload")
	for _, step := range []struct{ what, command, version string }{
		{"an upgrade", "apt-get install -y ./" + filepath.Base(newer), "v0.2.0"},
		{"a downgrade", "apt-get install -y --allow-downgrades ./" + filepath.Base(older), "v0.1.0"},
	} {
		w.do(step.command)
		w.flows(step.what)
		if out := w.do(version); strings.Count(out, step.version) < 2 {
			t.Errorf("the programs after %s:\n%s", step.what, out)
		}
	}
	if out := w.do("systemctl is-enabled secretref-logdriver.socket secretref-logdriver.service; systemctl show -p FragmentPath secretref-logdriver.socket secretref-logdriver.service"); strings.Count(out, "enabled\n") != 2 || strings.Contains(out, "=/etc") {
		t.Errorf("units of the package:\n%s", out)
	}

	if out, err := w.try("apt-get remove -y secretref"); err == nil || !strings.Contains(out, "SECRETREF_FORCE=1") {
		t.Errorf("removed while a container logs: %v\n%s", err, out)
	}
	w.flows("a removal that was refused")
	w.do("docker kill app")
	w.until("the end of the container's session", func() bool { return !strings.Contains(w.do("secretref-logdriver status || true"), "reading") })
	w.everyLine()
	w.removed(older)
}

// everyLine wants each line of the container, from the first to the last, at least once.
func (w *world) everyLine() {
	w.t.Helper()
	seen := map[string]bool{}
	for _, line := range w.lines("line ") {
		seen[line] = true
	}
	for i := range len(seen) {
		if !seen[fmt.Sprint("line ", i)] {
			w.t.Fatalf("of %d lines line %d is missing", len(seen), i)
		}
	}
}

// removed is the end: by force below a container that runs, with the state kept, and then purged.
func (w *world) removed(deb string) {
	w.t.Helper()
	w.do("docker rm -f app; docker run -d --name app --log-driver secretref --log-opt destination=prod debian:12 sleep 1000")
	w.do("SECRETREF_FORCE=1 apt-get remove -y secretref; [ -d /var/lib/secretref ]; [ -e /etc/secretref/config.toml ]; [ ! -e /run/docker/plugins/secretref.sock ]")
	w.do("apt-get install -y ./" + filepath.Base(deb) + "; systemctl is-active secretref-logdriver.socket")
	w.do("docker rm -f app")
	w.until("no session", func() bool { return !strings.Contains(w.do("secretref-logdriver status || true"), "reading") })
	w.do("rm -r /etc/secretref/conf.d/* /usr/local/share/man; apt-get purge -y secretref")
	left := w.do(`find / -xdev \( -path /root -o -path /proc -o -path /usr/local/share/ca-certificates \) -prune -o -name '*secretref*' -print
find /run /var/lib/docker/plugins -name '*secretref*'`)
	if left != "" {
		w.t.Errorf("a purge leaves\n%s", left)
	}
}
