package config

import (
	"os"
	"slices"
	"strings"
	"testing"
)

const sample = "../../packaging/config/config.toml"

// The sample as installed changes nothing, and with every setting uncommented it is valid and names every key.
func TestSample(t *testing.T) {
	data, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	installed := load(t, map[string]string{"config.toml": string(data)})
	if len(installed.Registries) != 0 || installed.AWS != defaults().AWS || installed.ECR.Enabled {
		t.Errorf("the sample as installed sets %+v", installed)
	}

	var text strings.Builder
	explained := false
	for line := range strings.Lines(string(data)) {
		setting, commented := strings.CutPrefix(line, "#")
		if commented && !strings.HasPrefix(setting, " ") && setting != "\n" {
			if !explained && setting[0] != '[' {
				t.Errorf("no comment above %q", line)
			}
			line = setting
		}
		explained = strings.HasPrefix(line, "#") || strings.HasPrefix(line, "[")
		text.WriteString(line)
	}
	c := load(t, map[string]string{"config.toml": text.String()})

	if d := c.Logs.Destinations[c.Logs.DefaultDestination]; d["logDriver"] == "" || d["secretOptions.splunk-token"] == "" {
		t.Errorf("the sample has the destinations %v", c.Logs.Destinations)
	}

	items, perr := parse("sample", []byte(text.String()))
	if perr != nil {
		t.Fatal(perr)
	}
	var got []string
	for _, it := range items {
		if !it.value.isTable() && !slices.Contains(it.path, "destinations") {
			got = append(got, strings.Join(slices.Compact([]string{it.path[0], it.path[len(it.path)-1]}), " "))
		}
	}
	want := everyKey()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the sample has the keys\n%v\nwant each known one once\n%v", got, want)
	}
}

// A value that the sample calls the default is the default.
func TestSampleDefaults(t *testing.T) {
	data, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	n := 0
	byDefault := false
	for line := range strings.Lines(string(data)) {
		if setting, ok := strings.CutPrefix(line, "#"); ok && !strings.HasPrefix(setting, " ") && setting != "\n" {
			_, v, _ := strings.Cut(strings.TrimSpace(setting), "= ")
			if byDefault = byDefault && !strings.HasPrefix(setting, "["); byDefault && v != "" {
				text.WriteString(setting)
				n++
			}
			byDefault = false
			continue
		}
		if _, after, ok := strings.Cut(line, "Default: "); ok {
			after = strings.TrimSuffix(strings.TrimSpace(after), ".")
			byDefault = strings.HasPrefix(after, `"`) || after == "false" || after == "true"
			continue
		}
		text.WriteString(line)
	}
	// ecr = true is an example next to its default false.
	got := load(t, map[string]string{"config.toml": strings.Replace(text.String(), "ecr = true\n", "", 1)})
	want := defaults()
	got.Files = nil
	if got.AWS != want.AWS || got.Cache != want.Cache || got.NotFound != want.NotFound || got.ECR != want.ECR ||
		got.Logs.StateDir != want.Logs.StateDir || got.Logs.SpoolMaxBytes != want.Logs.SpoolMaxBytes ||
		got.Logs.SpoolTotal != want.Logs.SpoolTotal || got.Logs.SpoolMinFree != want.Logs.SpoolMinFree ||
		got.Logs.MetricsAddress != want.Logs.MetricsAddress ||
		got.Logs.AllowOptions != want.Logs.AllowOptions || got.Logs.MetricsPerContainer != want.Logs.MetricsPerContainer {
		t.Errorf("got %+v, want the defaults %+v", got, want)
	}
	if n < 12 {
		t.Errorf("only %d defaults found in the sample", n)
	}
}
