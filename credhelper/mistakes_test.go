package credhelper_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// remedies are the forms in which a text says what to do.
var remedies = regexp.MustCompile(`(; |: |, )(run|install|chmod|chown|correct|remove|name|put|set|write|allow|compare|store|change|grant|enable|attach|is this|see|did you mean|` +
	`keys are|give|renew|refresh|use|take|docker login is|with --all|podman logout|it is a registry|[^;]* is close to it|[^;]* is the same host)`)

// places are what a text may name: a file, a registry, a reference, a variable or a word of the command line.
var places = regexp.MustCompile(`\$WORK/|registry [a-z]|\[registries|get secret|PATH|command "|option "?--|option --user|instance metadata service`)

// TestMistakes holds every text of testdata/mistakes.txt, which TestScripts runs for real, to what an error must say: what is
// wrong, where, and what to do.
func TestMistakes(t *testing.T) {
	page, err := os.ReadFile("testdata/mistakes.txt")
	if err != nil {
		t.Fatal(err)
	}
	cases := strings.Split("\n"+string(page), "\n== ")[1:]
	if len(cases) < 30 {
		t.Errorf("%d cases, want at least 30", len(cases))
	}
	for _, c := range cases {
		name, body, _ := strings.Cut(c, "\n")
		failures := 0
		for _, line := range strings.Split(body, "\n") {
			text, ok := strings.CutPrefix(line, "    ")
			if !ok || strings.HasPrefix(text, "exit ") || strings.HasPrefix(text, "1| configuration:") {
				continue
			}
			if !strings.HasPrefix(text, "fails ") && !strings.HasPrefix(text, "1| FAILED ") && !strings.HasPrefix(text, "2| ") {
				continue
			}
			failures++
			if !remedies.MatchString(text) {
				t.Errorf("%s: no remedy in\n    %s", name, text)
			}
			if !places.MatchString(text) {
				t.Errorf("%s: no place in\n    %s", name, text)
			}
		}
		if failures == 0 {
			t.Errorf("%s: nothing failed", name)
		}
	}
}
