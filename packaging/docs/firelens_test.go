package docs

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router/firelens"
)

var update = flag.Bool("update", false, "rewrite the tables and the pictures that are made from the code or from a text")

// The tables of the page are those of the code.
func TestFireLensTables(t *testing.T) {
	const page = "firelens.md"
	var outputs, differences strings.Builder
	served := firelens.Outputs()
	for _, name := range slices.Sorted(maps.Keys(served)) {
		fmt.Fprintf(&outputs, "| `%s` | `%s` |\n", name, served[name])
	}
	for _, d := range firelens.Differences {
		fmt.Fprintf(&differences, "| %s | %s | %s |\n", d.Outputs, d.FluentBit, d.Here)
	}
	got := text(t, page)
	want := got
	for head, rows := range map[string]string{"| `Name` | router |\n|---|---|\n": outputs.String(), "| output | Fluent Bit 5.1 on ECS | here |\n|---|---|---|\n": differences.String()} {
		table := regexp.MustCompile(regexp.QuoteMeta(head) + `(?:\|[^\n]*\n)*`)
		if !table.MatchString(want) {
			t.Fatalf("%s has no table with the head %q", page, head)
		}
		want = table.ReplaceAllLiteralString(want, head+rows)
	}
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Errorf("%s should be\n%s\nrun with -update", page, want)
	}
}
