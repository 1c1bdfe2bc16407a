package docs

import (
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/secretref/secretref/credhelper"
	"github.com/secretref/secretref/logplugin"
	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/packaging/docs/recipes"
)

// command is one of our two programs with its arguments, as a page has it.
type command struct{ page, program, line string }

// commands are those of a page: in blocks, indented or between fences, and in the text between backquotes.
func commands(t *testing.T, page string) (found []command) {
	t.Helper()
	for _, m := range regexp.MustCompile("(?m)(?:^ *|`)(secretref-logdriver|docker-credential-secretref) ([a-z][^`\n]*)").
		FindAllStringSubmatch(strings.ReplaceAll(text(t, page), "\\\n", " "), -1) {
		if line, _, _ := strings.Cut(m[2], " #"); regexp.MustCompile(`^[a-z-]+( [^a-z]| docker| podman| runtime| taskdef| registry|$)`).MatchString(line) {
			found = append(found, command{page, m[1], strings.TrimSpace(line)})
		}
	}
	return found
}

func help(t *testing.T, program, name string) string {
	t.Helper()
	var out strings.Builder
	code := 0
	if program == logplugin.Name {
		code = logplugin.Run(t.Context(), logplugin.Program{Args: []string{name, "--help"}, Stdout: &out, Stderr: io.Discard, Getenv: func(string) string { return "" }})
	} else {
		code = credhelper.Run(t.Context(), credhelper.Program{Args: []string{name, "--help"}, Stdout: &out, Stderr: io.Discard})
	}
	if code != 0 {
		return ""
	}
	return out.String()
}

// Every command of the two programs in the documents exists, and so does each of its options. The options of a container in
// it are options of that router.
func TestCommands(t *testing.T) {
	rules := &options.Rules{Kinds: logplugin.Routers()}
	count, tried := 0, 0
	for _, page := range pages(t) {
		for _, c := range commands(t, page) {
			count++
			words := strings.Fields(c.line)
			text := help(t, c.program, words[0])
			if text == "" && words[0] != "version" {
				t.Errorf("%s: %s %s: there is no such command", page, c.program, c.line)
				continue
			}
			for _, option := range regexp.MustCompile(` (--[a-z-]+)`).FindAllStringSubmatch(" "+c.line, -1) {
				if !regexp.MustCompile(`(?m)^  ` + option[1] + `\s`).MatchString(text) {
					t.Errorf("%s: %s %s: the command has no option %s", page, c.program, c.line, option[1])
				}
			}
			given := map[string]string{}
			for _, m := range regexp.MustCompile(`--log-opt '?([A-Za-z0-9.-]+)=([^ ']*)`).FindAllStringSubmatch(c.line, -1) {
				given[m[1]] = m[2]
			}
			if given["logDriver"] == "" || strings.Contains(c.line, "...") {
				continue
			}
			tried++
			if _, err := rules.Parse(given, options.Info{ContainerID: strings.Repeat("a", 64), ContainerName: "/web"}); err != nil {
				t.Errorf("%s: %s %s: %v", page, c.program, c.line, err)
			}
		}
	}
	if count < 50 || tried < 10 {
		t.Errorf("%d commands are found, %d of them with a router; want 50 and 10, and more", count, tried)
	}
}

// Each block of commands is run by a test, which takes it from the page or runs what stands in the table instead; only a few are not,
// with a reason. No row of the table is left over.
func TestRecipes(t *testing.T) {
	const root = "../.."
	all, err := recipes.All(root)
	if err != nil || len(all) < 60 {
		t.Fatalf("%d recipes, %v; want 60 and more", len(all), err)
	}
	used := map[*recipes.Proof]bool{}
	for _, r := range all {
		p := recipes.Find(r)
		if p == nil {
			t.Errorf("%s: no test runs this, see recipes.Proofs:\n%s", r.Page, r.Text)
			continue
		}
		used[p] = true
	}
	reasons := 0
	for i := range recipes.Proofs {
		p := &recipes.Proofs[i]
		if !used[p] {
			t.Errorf("%s has no commands that begin with %q", p.Page, p.First)
		}
		if p.Test == "" {
			if reasons++; p.Why == "" {
				t.Errorf("%s: neither a test nor a reason for %q", p.Page, p.First)
			}
			continue
		}
		source := sources(t, filepath.Join(root, p.In))
		if !strings.Contains(source, "\nfunc "+p.Test+"(t *testing.T)") || !strings.Contains(source, p.Instead) {
			t.Errorf("%s: %s has no %s that runs %s", p.Page, p.In, p.Test, p.Instead)
		}
	}
	if reasons > 3 {
		t.Errorf("%d kinds of commands are not run by any test, want 3 at most", reasons)
	}
}

// sources are the tests of a directory.
func sources(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has no tests: %v", dir, err)
	}
	var all strings.Builder
	for _, file := range files {
		all.WriteString(text(t, file))
	}
	return all.String()
}
