package docs

import (
	"regexp"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin"
	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/logplugin/router/loki"
)

// Every compose example in the documents has options that a container may give.
func TestExamples(t *testing.T) {
	rules := &options.Rules{Kinds: logplugin.Routers()}
	found := 0
	for _, file := range pages(t) {
		for _, block := range regexp.MustCompile("(?ms)^```yaml\n(.*?)^```").FindAllStringSubmatch(text(t, file), -1) {
			given := optionsOf(block[1])
			if given["logDriver"] == "" {
				continue
			}
			found++
			if _, err := rules.Parse(given, options.Info{ContainerID: strings.Repeat("a", 64), ContainerName: "/web"}); err != nil {
				t.Errorf("%s: the example with logDriver %s: %v", file, given["logDriver"], err)
			}
		}
	}
	if found < 4 {
		t.Errorf("%d examples are found, want 4 and more", found)
	}
}

// optionsOf reads what stands below options: in a compose file.
func optionsOf(block string) map[string]string {
	given := map[string]string{}
	indent := -1
	for line := range strings.Lines(block) {
		text := strings.TrimSpace(line)
		depth := len(line) - len(strings.TrimLeft(line, " "))
		switch name, value, ok := strings.Cut(text, ": "); {
		case text == "options:":
			indent = depth
		case indent >= 0 && depth <= indent:
			indent = -1
		case indent >= 0 && ok && !strings.HasPrefix(text, "#"):
			given[name] = strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	return given
}

// The table of the Loki plugin's options names options that there are, and says of each whether it is refused.
func TestLokiPluginTable(t *testing.T) {
	kind := loki.Kind()
	rows := regexp.MustCompile("(?m)^\\| (`loki-[^|]*) \\| ([^|]*) \\|$").FindAllStringSubmatch(text(t, "from-loki-plugin.md"), -1)
	if len(rows) < 8 {
		t.Fatalf("%d rows, want 8 and more", len(rows))
	}
	refused := 0
	for _, row := range rows {
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			isRefused := strings.HasPrefix(row[2], "refused")
			if known := kind.Option(name[1]) != nil; known == isRefused || isRefused != (kind.Refused[name[1]] != "") {
				t.Errorf("%s is %q in the table; known: %v, refused: %q", name[1], row[2], known, kind.Refused[name[1]])
			}
			if isRefused {
				refused++
			}
		}
	}
	if refused != len(kind.Refused) {
		t.Errorf("%d options are refused in the table, want %d", refused, len(kind.Refused))
	}
}

// The documents name no option of a router that is not there.
func TestOptionNames(t *testing.T) {
	kinds := logplugin.Routers()
	for _, file := range pages(t) {
		for _, k := range kinds {
			for _, m := range regexp.MustCompile("`("+k.Name+"-[a-z][a-z-]*(?:\\.[A-Za-z-]+)?)[`=]").FindAllStringSubmatch(text(t, file), -1) {
				if k.Option(m[1]) == nil && k.Refused[m[1]] == "" {
					t.Errorf("%s names %s, which is not an option of logDriver %s", file, m[1], k.Name)
				}
			}
		}
	}
}
