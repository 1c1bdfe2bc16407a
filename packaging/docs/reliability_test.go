package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// Every test that reliability.md names for a promise exists in the directory that it names.
func TestProofs(t *testing.T) {
	rows := regexp.MustCompile("(?m)^\\| [^|]+ \\| `(Test[A-Za-z]+)` \\| `([a-z/]+)` \\|$").FindAllStringSubmatch(text(t, "reliability.md"), -1)
	if len(rows) < 20 {
		t.Fatalf("%d promises have a test, want 20 and more", len(rows))
	}
	for _, row := range rows {
		files, err := filepath.Glob(filepath.Join("../..", row[2], "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Errorf("%s has no tests: %v", row[2], err)
		}
		found := false
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			found = found || regexp.MustCompile(`(?m)^func `+row[1]+`\(t \*testing\.T\)`).Match(source)
		}
		if !found {
			t.Errorf("%s has no test %s", row[2], row[1])
		}
	}
}
