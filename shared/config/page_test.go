package config

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

const page = "../../packaging/docs/configuration.md"

var update = flag.Bool("update", false, "write the list of settings into "+page)

// known is a table with the keys that the program takes in it.
type known struct {
	table   string // "" for keys outside of tables
	heading string
	keys    []key
}

// everyTable returns the tables in the order in which they are listed for people.
func everyTable() []known {
	all := []known{{"", "Outside of tables", topKeys(defaults())}}
	for _, name := range tableNames() {
		k := known{name, "`[" + name + "]`", tableKeys(defaults(), name)}
		switch name {
		case "accounts":
			k.heading, k.keys = "`[accounts.\"ID\"]`", accountKeys(&Registry{})
		case "buckets":
			k.heading, k.keys = "`[buckets.\"NAME\"]`", bucketKeys(&Registry{})
		case "registries":
			k.heading, k.keys = "`[registries.\"HOST\"]`", registryKeys(&Registry{})
		}
		all = append(all, k)
	}
	return all
}

// everyKey returns the keys with their tables before them.
func everyKey() (all []string) {
	for _, k := range everyTable() {
		for _, name := range names(k.keys) {
			all = append(all, strings.TrimSpace(k.table+" "+name))
		}
	}
	return all
}

// sampleWords returns what the comments of the sample say of each key, and of each table under its name and a blank. Where the
// sample has a table or key more than once, the first counts.
func sampleWords(text string) map[string]string {
	words := map[string]string{}
	table, comment := "", ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if more, ok := strings.CutPrefix(line, "# "); ok {
			comment = strings.TrimSpace(comment + " " + more)
			continue
		}
		setting := strings.TrimPrefix(line, "#")
		name, _, isKey := strings.Cut(setting, " = ")
		if head, ok := strings.CutPrefix(setting, "["); ok {
			name, isKey = "", true
			if table, _, _ = strings.Cut(strings.TrimSuffix(head, "]"), `."`); strings.Contains(table, ".") {
				isKey = false // a destination has the options of its router
			}
		}
		if about := table + " " + name; isKey && words[about] == "" {
			words[about] = comment
		}
		comment = ""
	}
	return words
}

// settings is the list of the page: the tables, keys and examples of the program, with the words of the sample.
func settings(t *testing.T, words map[string]string) string {
	t.Helper()
	code := regexp.MustCompile(`^(?:"[^"]*"|\[.*\]|true|false)$`)
	plain := strings.NewReplacer("|", `\|`, "*", `\*`, "<", "&lt;")
	var b strings.Builder
	for _, k := range everyTable() {
		fmt.Fprintf(&b, "\n### %s\n\n", k.heading)
		if about := words[k.table+" "]; about != "" {
			b.WriteString(plain.Replace(about) + "\n\n")
		}
		b.WriteString("| key | means | default | example |\n|---|---|---|---|\n")
		for _, x := range k.keys {
			means, byDefault, _ := strings.Cut(words[k.table+" "+x.name], "Default: ")
			if always, ok := strings.CutSuffix(means, "Required."); ok {
				means, byDefault = always, "required"
			}
			if byDefault = strings.TrimSuffix(byDefault, "."); code.MatchString(byDefault) {
				byDefault = "`" + byDefault + "`"
			} else {
				byDefault = plain.Replace(byDefault)
			}
			if means == "" {
				t.Errorf("%s says nothing of %s %s", sample, k.table, x.name)
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | `%s` |\n", x.name, plain.Replace(strings.TrimSpace(means)), byDefault, strings.ReplaceAll(x.example, "|", `\|`))
		}
	}
	return b.String() + "\n"
}

// The page lists the settings that the program has, with the words of the sample.
func TestPageSettings(t *testing.T) {
	const begin, end = "<!-- settings -->\n", "<!-- /settings -->\n"
	text, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(got), begin)
	_, after, ends := strings.Cut(rest, end)
	if !begins || !ends {
		t.Fatalf("%s has no place for the settings, between %q and %q", page, begin, end)
	}
	want := before + begin + settings(t, sampleWords(string(text))) + end + after
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(got) != want {
		t.Errorf("%s should be\n%s\ngo test ./shared/config -run TestPageSettings -update", page, want)
	}
}
