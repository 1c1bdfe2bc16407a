package config

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const manual = "../../packaging/man/secretref-config.5"

// entry is what the manual page says about one key.
type entry struct {
	table, key string // table "" for a key outside of tables
	text       string // the macros below the key, up to the next
}

func (e entry) name() string { return strings.TrimSpace(e.table + " " + e.key) }

// manualEntries reads the keys of secretref-config(5): each is an ".It Cm" in the subsection of its table.
func manualEntries(t *testing.T) []entry {
	t.Helper()
	data, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	var entries []entry
	table, inTable, inKey := "", false, false
	for line := range strings.Lines(string(data)) {
		if heading, ok := strings.CutPrefix(line, ".Ss "); ok {
			inKey = false
			inner, isTable := strings.CutPrefix(heading, "Table [")
			table, inTable = "", isTable || heading == "Outside of tables\n"
			if isTable {
				table = inner[:strings.IndexAny(inner, ".]")]
			}
			continue
		}
		key, isKey := strings.CutPrefix(line, ".It Cm ")
		switch {
		case isKey && !inTable:
			t.Errorf("%q stands in no table", line)
		case isKey:
			entries = append(entries, entry{table: table, key: strings.TrimSpace(key)})
			inKey = true
		case strings.HasPrefix(line, ".El"):
			inKey = false
		case inKey:
			entries[len(entries)-1].text += line
		}
	}
	return entries
}

// The manual page has every key that the program knows, once, and no other.
func TestManualKeys(t *testing.T) {
	var got []string
	for _, e := range manualEntries(t) {
		got = append(got, e.name())
		if !strings.Contains(e.text, "Default:") && !strings.Contains(e.text, "Required.") {
			t.Errorf("%s: the page says neither its default nor that it is required", e.name())
		}
	}
	want := everyKey()
	slices.Sort(got)
	slices.Sort(want)
	for _, k := range want {
		if !slices.Contains(got, k) {
			t.Errorf("%s does not speak of %s", manual, k)
		}
	}
	for _, k := range got {
		if !slices.Contains(want, k) {
			t.Errorf("%s speaks of %s, which the program does not know", manual, k)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d keys in the page, want %d: one of them is there twice", len(got), len(want))
	}
}

// The page lists the variables of the log driver, each once, and no other.
func TestManualVariables(t *testing.T) {
	data, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^\.It Ev (SECRETREF_(?:AWS|CACHE|LOGS|SECRETS|CONFIG)_\S*)$`).FindAllStringSubmatch(string(data), -1) {
		got = append(got, m[1])
	}
	want := Variables()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s lists\n%v\nwant\n%v", manual, got, want)
	}
}

// A value that the page calls the default is the default.
func TestManualDefaults(t *testing.T) {
	quoted := regexp.MustCompile(`Default:\n\.(?:Qq|Li) (\S*)`)
	plain := regexp.MustCompile(`Default: (false|true)\.`)
	var text strings.Builder
	table, n := "", 0
	for _, e := range manualEntries(t) {
		if e.table == "accounts" || e.table == "buckets" || e.table == "registries" {
			continue
		}
		if e.table != table {
			table = e.table
			text.WriteString("[" + table + "]\n")
		}
		if m := quoted.FindStringSubmatch(e.text); m != nil {
			text.WriteString(e.key + ` = "` + strings.ReplaceAll(m[1], `\(dq`, "") + "\"\n")
			n++
		} else if m := plain.FindStringSubmatch(e.text); m != nil {
			text.WriteString(e.key + " = " + m[1] + "\n")
			n++
		}
	}
	got, want := load(t, map[string]string{"config.toml": text.String()}), defaults()
	if got.AWS != want.AWS || got.Cache != want.Cache || got.NotFound != want.NotFound || got.ECR != want.ECR ||
		got.Logs.StateDir != want.Logs.StateDir || got.Logs.SpoolMaxBytes != want.Logs.SpoolMaxBytes ||
		got.Logs.SpoolTotal != want.Logs.SpoolTotal || got.Logs.SpoolMinFree != want.Logs.SpoolMinFree ||
		got.Logs.MetricsAddress != want.Logs.MetricsAddress ||
		got.Logs.AllowOptions != want.Logs.AllowOptions || got.Logs.MetricsPerContainer != want.Logs.MetricsPerContainer {
		t.Errorf("with what the page calls defaults: %+v, want %+v; it was\n%s", got, want, text.String())
	}
	if n < 12 {
		t.Errorf("only %d defaults found in the page", n)
	}
}

// Each example of the page is a configuration.
func TestManualExamples(t *testing.T) {
	data, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile(`(?s)\n\.Bd -literal[^\n]*\n(.*?)\.Ed\n`).FindAllStringSubmatch(string(data), -1)
	rules := 0
	for _, b := range blocks {
		rules += len(load(t, map[string]string{"config.toml": b[1]}).Registries)
	}
	if len(blocks) < 4 || rules < 5 {
		t.Errorf("%d examples with %d rules found in the page", len(blocks), rules)
	}
}
