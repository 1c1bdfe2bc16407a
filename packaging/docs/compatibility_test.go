package docs

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// Each row of the table of clients and engines names tests that exist, or says that it was not tried, and versions of programs that the
// project's own files install.
func TestClientsWereTried(t *testing.T) {
	tests, err := exec.CommandContext(t.Context(), "grep", "-rhoE", "--include=*_test.go", `^func Test[A-Za-z0-9_]+`,
		"../../credhelper", "../../logplugin", "../../packaging", "../../shared").Output()
	if err != nil {
		t.Fatal(err)
	}
	pinned := text(t, "../install-test-deps") + text(t, "../../credhelper/testdata/dockercli/go.mod") + text(t, "../../credhelper/testdata/kubeletcodec/go.mod")
	rows := 0
	for line := range strings.Lines(text(t, "compatibility.md")) {
		cells := strings.Split(strings.TrimSpace(line), " |")
		if !strings.HasPrefix(line, "| ") || len(cells) < 5 || strings.HasPrefix(line, "| client") {
			continue
		}
		rows++
		named := regexp.MustCompile("`(Test[A-Za-z0-9_]+)`").FindAllStringSubmatch(cells[3], -1)
		if (len(named) == 0) != strings.Contains(cells[2], "not tried") {
			t.Errorf("%s: want a test, or that it was not tried", cells[0])
		}
		for _, m := range named {
			if !strings.Contains(string(tests), "func "+m[1]+"\n") {
				t.Errorf("%s: there is no %s", cells[0], m[1])
			}
		}
		for _, version := range regexp.MustCompile(`\bv[0-9][0-9a-z.-]*[0-9a-z]`).FindAllString(cells[1], -1) {
			if !regexp.MustCompile(regexp.QuoteMeta(version) + `(\+incompatible)?\s`).MatchString(pinned) {
				t.Errorf("%s: nothing installs version %s", cells[0], version)
			}
		}
	}
	if rows < 10 {
		t.Errorf("%d rows, want 10 and more", rows)
	}
}
