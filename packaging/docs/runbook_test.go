package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The runbook quotes the errors of files and variables as the programs write them.
func TestQuotedErrors(t *testing.T) {
	var code strings.Builder
	for _, dir := range []string{"volume", "variables", "ociruntime"} {
		files, err := filepath.Glob(filepath.Join("../../logplugin", dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s has no code: %v", dir, err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(file, "_test.go") {
				code.Write(source)
			}
		}
	}
	// What a format puts in is an ellipsis in the runbook.
	plain := regexp.MustCompile(`%[a-z]`).ReplaceAllString(code.String(), "…")
	_, section, _ := strings.Cut(text(t, "runbook.md"), "\nErrors of [files]")
	quoted := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(section, -1)
	if len(quoted) < 8 {
		t.Fatalf("%d errors are quoted, want 8 and more", len(quoted))
	}
	for _, m := range quoted {
		for piece := range strings.SplitSeq(m[1], "…") {
			if !strings.Contains(plain, piece) {
				t.Errorf("no program writes %q, of %q", piece, m[1])
			}
		}
	}
}
