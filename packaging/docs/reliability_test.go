package docs

import (
	"path/filepath"
	"regexp"
	"testing"
)

// Every test that reliability.md names for a promise exists in the directory that it names. A figure beside it has the command that
// repeats it: the bench with one of its parts, or a test that exists.
func TestProofs(t *testing.T) {
	rows := regexp.MustCompile("(?m)^\\| [^|]+ \\| `(Test[A-Za-z]+)` \\| `([a-z/]+)` \\| ([^|]+) \\|$").FindAllStringSubmatch(text(t, "reliability.md"), -1)
	if len(rows) < 20 {
		t.Fatalf("%d promises have a test, want 20 and more", len(rows))
	}
	parts := regexp.MustCompile("`go run \\./logplugin/bench -parts (sessions|hanging|alone|containers|reading|rates)`$")
	tests := regexp.MustCompile("`go test (?:-tags integration )?-run '\\^(Test[A-Za-z]+)\\$' -v \\./([a-z/]+)(?: -pairs [0-9]+)?`$")
	figures := 0
	for _, row := range rows {
		wantTest(t, row[1], row[2])
		if row[3] == "-" {
			continue
		}
		figures++
		if m := tests.FindStringSubmatch(row[3]); m != nil {
			wantTest(t, m[1], m[2])
		} else if !parts.MatchString(row[3]) {
			t.Errorf("%s: no command repeats the figure %q", row[1], row[3])
		}
	}
	if figures < 5 {
		t.Errorf("%d promises have a figure, want 5 and more", figures)
	}
}

func wantTest(t *testing.T, name, dir string) {
	t.Helper()
	if !regexp.MustCompile(`(?m)^func ` + name + `\(t \*testing\.T\)`).MatchString(sources(t, filepath.Join("../..", dir))) {
		t.Errorf("%s has no test %s", dir, name)
	}
}
