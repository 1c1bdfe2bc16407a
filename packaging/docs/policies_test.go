package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin"
)

// A policy in a document is what the command in front of it prints.
func TestPolicies(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(config, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_REGION", "")
	found := 0
	for _, page := range pages(t) {
		for _, m := range regexp.MustCompile("(?s)\n    "+logplugin.Name+" (iam-policy [^\n]*(?:\\\\\n[^\n]*)?)\n\n```json\n(.*?)```").FindAllStringSubmatch(text(t, page), -1) {
			found++
			var out, errs strings.Builder
			args := append(strings.Fields(strings.ReplaceAll(m[1], "\\\n", " ")), "--config", config)
			logplugin.Run(t.Context(), logplugin.Program{Args: args, Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }})
			if out.String() != m[2] {
				t.Errorf("%s: %s prints\n%s%s\nthe page has\n%s", page, m[1], out.String(), errs.String(), m[2])
			}
		}
	}
	if found != 4 {
		t.Errorf("%d policies are found, want those of the four routers to AWS", found)
	}
}
