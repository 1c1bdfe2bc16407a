package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/secretref/secretref/shared/config"
)

const readme = "../../README.md"

// pages are the documents for users, README included.
func pages(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.md")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d pages, %v", len(files), err)
	}
	return append(files, readme)
}

func text(t *testing.T, page string) string {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// anchors are the names under which the headings of a page can be reached, made as web views of repositories make them.
func anchors(page string) map[string]bool {
	found := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^#+ (.*)$").FindAllStringSubmatch(page, -1) {
		name := regexp.MustCompile("[^a-z0-9 _-]").ReplaceAllString(strings.ToLower(m[1]), "")
		found[strings.ReplaceAll(name, " ", "-")] = true
	}
	return found
}

// links are the targets inside the project of a page, with the directory of the page before them.
func links(t *testing.T, page string) (found []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(text(t, page), -1) {
		switch {
		case strings.Contains(m[1], "://"):
		case strings.HasPrefix(m[1], "#"):
			found = append(found, page+m[1])
		default:
			target := filepath.Join(filepath.Dir(page), m[1])
			found = append(found, strings.TrimPrefix(target, "../../packaging/docs/"))
		}
	}
	return found
}

func TestLinks(t *testing.T) {
	for _, page := range pages(t) {
		for _, link := range links(t, page) {
			file, anchor, _ := strings.Cut(link, "#")
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: %v", page, err)
			} else if anchor != "" && !anchors(text(t, file))[anchor] {
				t.Errorf("%s: %s has no heading for #%s", page, file, anchor)
			}
		}
	}
}

// A reader who begins with the README comes to every page.
func TestEveryPageIsReached(t *testing.T) {
	seen, next := map[string]bool{}, []string{readme}
	for len(next) > 0 {
		page := next[0]
		next = next[1:]
		if seen[page] || filepath.Ext(page) != ".md" {
			continue
		}
		seen[page] = true
		for _, link := range links(t, page) {
			file, _, _ := strings.Cut(link, "#")
			next = append(next, file)
		}
	}
	for _, page := range pages(t) {
		if !seen[page] {
			t.Errorf("no link leads to %s", page)
		}
	}
}

func TestReadmeIsShort(t *testing.T) {
	if n := len(text(t, readme)); n > 8*1024 {
		t.Errorf("README.md has %d bytes, want 8 KiB at most: what is longer belongs on a page", n)
	}
}

// What the README writes into conf.d is a configuration.
func TestConfigurationOfTheReadme(t *testing.T) {
	found := regexp.MustCompile(`(?ms)^cat >/etc/secretref/conf\.d/\S+ <<'END'\n(.*?)^END$`).FindAllStringSubmatch(text(t, readme), -1)
	if len(found) != 2 {
		t.Fatalf("%d files, want 2", len(found))
	}
	for _, m := range found {
		file := filepath.Join(t.TempDir(), "config.toml")
		if err := os.WriteFile(file, []byte(m[1]), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := config.Load(config.Options{OnlyFile: file, EUID: os.Geteuid()}); err != nil {
			t.Errorf("%v\n%s", err, m[1])
		}
	}
}
