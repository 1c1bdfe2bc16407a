package logplugin

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// mistake is a case of testdata/mistakes.txt.
type mistake struct {
	name         string
	config       []string // lines of the configuration, behind state_dir under [logs]
	daemon       []string // lines of daemon.json; none = there is no such file
	command      []string // words
	output, says string   // what was expected, and what was said
}

// TestMistakes makes the mistakes that people make, and holds what they read then to the page, and to what an error must say: what is
// wrong, where, and what to do.
func TestMistakes(t *testing.T) {
	const page = "testdata/mistakes.txt"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(string(text), "\n== ")
	mistakes := parseMistakes(rest)
	if len(mistakes) < 25 {
		t.Errorf("%d cases, want at least 25", len(mistakes))
	}
	written := head
	for _, m := range mistakes {
		m.make(t)
		written += m.String()
		if m.says != m.output && !*update {
			t.Errorf("%s: it says\n%swant\n%s", m.name, m.says, m.output)
		}
		for _, text := range m.failures(t) {
			if !remedies.MatchString(text) || !places.MatchString(text) {
				t.Errorf("%s: no remedy or no place in\n%s", m.name, text)
			}
		}
	}
	if *update {
		if err := os.WriteFile(page, []byte(written), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// remedies are the forms in which a text says what to do, and places what it may name.
var (
	remedies = regexp.MustCompile(`(; |: |, |\()(write|give|remove|put|set|add|did you mean|use|names of keys|known are|a duration|a list|if it comes from|take|does the service run|it names the log router|see|keys are|where is|move|correct it|install it|stop |allow_[a-z]+ in \[logs\]|which session)`)
	places   = regexp.MustCompile(`log-opts? |a destination|\[logs|\$WORK/|command "|--[a-z]|daemon\.json|option`)
)

func parseMistakes(text string) []mistake {
	var all []mistake
	for _, part := range strings.Split(text, "\n== ") {
		lines := strings.Split(strings.TrimSuffix(part, "\n"), "\n")
		m := mistake{name: lines[0]}
		for _, line := range lines[1:] {
			kind, rest, _ := strings.Cut(line, " ")
			switch kind {
			case "config":
				m.config = append(m.config, rest)
			case "daemon":
				m.daemon = append(m.daemon, rest)
			case "$":
				m.command = strings.Fields(rest)
			case "":
				m.output += strings.TrimPrefix(line, "    ") + "\n"
			}
		}
		m.output = strings.TrimSuffix(m.output, "\n\n") // the blank line between two cases
		if m.output != "" && !strings.HasSuffix(m.output, "\n") {
			m.output += "\n"
		}
		all = append(all, m)
	}
	return all
}

// make runs the command where the mistake was made.
func (m *mistake) make(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	config := "[aws]\nregion = \"eu-west-1\"\n[logs]\nstate_dir = \"" + dir + "/state\"\n" + strings.Join(m.config, "\n") + "\n"
	files := map[string]string{"config.toml": config}
	if m.daemon != nil {
		files["daemon.json"] = strings.Join(m.daemon, "\n")
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := m.command
	if _, err := find(args[0]); err == nil {
		args = append([]string{args[0], "--config", dir + "/config.toml"}, args[1:]...)
	}
	var out bytes.Buffer
	code := Run(t.Context(), Program{
		Args: args, Stdout: &out, Stderr: &out, Getenv: func(string) string { return "" }, Version: "1", DaemonConfig: dir + "/daemon.json",
		Runtime: dir + "/secretref-runtime", RuntimeSocket: dir + "/resolve.sock",
	})
	m.says = strings.ReplaceAll(out.String(), dir, "$WORK") + fmt.Sprintf("exit %d\n", code)
	if code == 0 {
		t.Errorf("%s: it succeeds", m.name)
	}
}

// failures are the lines that say what is wrong.
func (m *mistake) failures(t *testing.T) (texts []string) {
	t.Helper()
	for line := range strings.Lines(m.says) {
		isSum := strings.Contains(line, ": check: failed: ") || strings.Contains(line, "nothing more can be checked")
		if strings.HasPrefix(line, "failed ") || strings.HasPrefix(line, Name+": ") && !isSum {
			texts = append(texts, line)
		}
	}
	if len(texts) == 0 {
		t.Errorf("%s: nothing says what is wrong:\n%s", m.name, m.says)
	}
	return texts
}

// String writes the case as it stands on the page, with what was said.
func (m *mistake) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n== %s\n", m.name)
	for _, line := range m.config {
		fmt.Fprintf(&b, "config %s\n", line)
	}
	for _, line := range m.daemon {
		fmt.Fprintf(&b, "daemon %s\n", line)
	}
	fmt.Fprintf(&b, "$ %s\n", strings.Join(m.command, " "))
	for line := range strings.Lines(m.says) {
		b.WriteString("    " + line)
	}
	return b.String()
}
