// Package man_test holds the manual pages to what the programs say of themselves.
package man_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/credhelper"
	"github.com/secretref/secretref/logplugin"
	"github.com/secretref/secretref/logplugin/metrics"
	"github.com/secretref/secretref/logplugin/options"
)

// docker-credential-secretref(1) has every command and option of --help, and no other.
func TestCommandsAndOptions(t *testing.T) {
	page, err := os.ReadFile("docker-credential-secretref.1")
	if err != nil {
		t.Fatal(err)
	}
	_, commands, _ := strings.Cut(string(page), "\n.Sh COMMANDS\n")
	commands, _, ok := strings.Cut(commands, "\n.Sh ")
	if !ok {
		t.Fatal("no section COMMANDS")
	}
	got := all(commands, `(?m)^\.It Cm ([a-z-]+(?: docker| podman)?)(?:$| (?:Ar|Op) )`)
	for _, option := range all(commands, `(?m)^\.It Fl (-[a-z-]+)(?: Ar [A-Z]+)?$`) {
		got = append(got, "-"+option)
	}

	var help strings.Builder
	if code := credhelper.Run(t.Context(), credhelper.Program{Args: []string{"--help"}, Stdout: &help, Stderr: &help}); code != 0 {
		t.Fatalf("--help: exit status %d, want 0", code)
	}
	want := all(help.String(), `(?m)^ +([a-z-]+(?: docker| podman)?|--[a-z-]+)(?: [A-Z\[][^ ]*.*)?  +\S`)
	if len(want) < 13 {
		t.Fatalf("only %q found in\n%s", want, help.String())
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the page has\n%q\nwant, as --help,\n%q", got, want)
	}

	// The synopsis names them too, without repeating configure for each client.
	_, synopsis, _ := strings.Cut(string(page), "\n.Sh SYNOPSIS\n")
	synopsis, _, _ = strings.Cut(synopsis, "\n.Sh ")
	for _, w := range want {
		for _, word := range strings.Fields(strings.TrimPrefix(w, "-")) {
			if !regexp.MustCompile(`[ \n]` + word + `[ \n]`).MatchString(synopsis + "\n") {
				t.Errorf("%s is not in the synopsis", w)
			}
		}
	}
}

// Pages that name each other exist, and every line is one that a man program can read.
func TestPages(t *testing.T) {
	for _, name := range []string{"docker-credential-secretref.1", "secretref-logdriver.1", "secretref-runtime.1", "secretref-config.5"} {
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		title, section, _ := strings.Cut(name, ".")
		if want := ".Dt " + strings.ToUpper(title) + " " + section + "\n"; !strings.Contains(string(page), want) {
			t.Errorf("%s: no %q", name, want)
		}
		for _, ref := range regexp.MustCompile(`(?m)^\.Xr (\S*secretref\S*) (\d)`).FindAllStringSubmatch(string(page), -1) {
			if _, err := os.Stat(ref[1] + "." + ref[2]); err != nil {
				t.Errorf("%s refers to %s(%s): %v", name, ref[1], ref[2], err)
			}
		}
		for i, line := range strings.Split(string(page), "\n") {
			if strings.HasPrefix(line, "'") || strings.HasSuffix(line, " ") || strings.ContainsFunc(line, func(r rune) bool { return r > '~' || r < ' ' }) {
				t.Errorf("%s:%d: a macro by mistake, a blank at the end or a character outside of ASCII: %q", name, i+1, line)
			}
		}
	}
}

// section returns one of a page.
func section(t *testing.T, page, title string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "\n.Sh "+title+"\n")
	if !ok {
		t.Fatalf("%s has no section %s", page, title)
	}
	rest, _, _ = strings.Cut(rest, "\n.Sh ")
	return rest
}

// same compares two lists without regard to order.
func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("%s: the page has\n%q\nwant, as the program,\n%q", what, got, want)
	}
}

// secretref-logdriver(1) has every command and option of --help, and no other.
func TestLogDriverCommands(t *testing.T) {
	text := section(t, "secretref-logdriver.1", "COMMANDS")
	got := all(text, `(?m)^\.It Cm ([a-z-]+(?: runtime)?)(?:$| Ar )`)
	for _, option := range all(text, `(?m)^\.It Fl (-[a-z-]+)(?:$| Ar )`) {
		got = append(got, "-"+option)
	}
	var help strings.Builder
	if code := logplugin.Run(t.Context(), logplugin.Program{Args: []string{"help"}, Stdout: &help, Stderr: &help, Getenv: os.Getenv}); code != 0 {
		t.Fatalf("help: exit status %d", code)
	}
	same(t, "commands and options", got, all(help.String(), `(?m)^  ([a-z-]+(?: runtime)?|--[a-z-]+)(?: [A-Z=]+)?  +\S`))
}

// It has every log option that a container may give, and no other.
func TestLogOptions(t *testing.T) {
	text := section(t, "secretref-logdriver.1", "LOG OPTIONS")
	var got []string
	for _, names := range all(text, `(?m)^\.It Cm (.*)$`) {
		got = append(got, strings.Split(names, " , ")...)
	}
	want := options.Common()
	for _, k := range logplugin.Routers() {
		want = append(want, k.Names(nil)...)
	}
	same(t, "log options", got, want)
}

// It has every metric of ours, and no other.
func TestMetrics(t *testing.T) {
	got := all(section(t, "secretref-logdriver.1", "METRICS"), `(?m)^\.It Li (\S+)$`)
	same(t, "metrics", got, slices.Collect(maps.Keys(metrics.Labels())))
}

func all(text, pattern string) []string {
	var found []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found = append(found, m[1])
	}
	return found
}
