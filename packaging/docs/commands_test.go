package docs

import (
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/credhelper"
	"github.com/secretref/secretref/logplugin"
	"github.com/secretref/secretref/logplugin/options"
)

// executed are the pages whose commands a test takes from the page and runs: the file of the test, and its name.
var executed = map[string][2]string{
	readme:                 {"../packages/world_test.go", "TestReadme"},
	"install.md":           {"../packages/life_test.go", "TestLife"},
	"registries.md":        {"../packages/recipes_test.go", "recipes"},
	"without-secretref.md": {"docs_test.go", "TestWithoutSecretref"},
}

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

// The tests that run the commands of whole pages exist.
func TestExecutedPages(t *testing.T) {
	all := pages(t)
	for _, page := range slices.Sorted(maps.Keys(executed)) {
		test := executed[page]
		source, err := os.ReadFile(test[0])
		if err != nil || !strings.Contains(string(source), "\nfunc "+test[1]+"(") {
			t.Errorf("%s: no %s in %s: %v", page, test[1], test[0], err)
		}
		if !slices.Contains(all, page) {
			t.Errorf("there is no page %s", page)
		}
	}
}
