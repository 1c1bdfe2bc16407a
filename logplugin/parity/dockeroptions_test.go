package parity

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin"
	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/gelf"
	"github.com/secretref/secretref/logplugin/router/splunk"
)

// engines are the versions of Docker whose options are in testdata.
var engines = []string{"20.10", "29"}

// required is a default: the option must be given.
const required = "required"

// dockerOption is one line of a list in testdata.
type dockerOption struct {
	driver, name, def string
	takes, refuses    []string
}

// dockerOptions reads the list of an engine. TestListsAreThoseOfTheEngine holds it to the engine itself.
func dockerOptions(t *testing.T, engine string) []dockerOption {
	t.Helper()
	text, err := os.ReadFile("testdata/options-" + engine + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	values := func(s string) []string {
		all := strings.Fields(s)
		for i := range all {
			if all[i] == `""` {
				all[i] = ""
			}
		}
		return all
	}
	var list []dockerOption
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 5 {
			t.Fatalf("testdata/options-%s.txt: %q has %d fields, want 5", engine, line, len(f))
		}
		list = append(list, dockerOption{f[0], f[1], strings.Replace(f[2], "-", "", min(1, 2-len(f[2]))), values(f[3]), values(f[4])})
	}
	return list
}

// given are options of a driver with which the value of the named one is looked at.
func given(driver, name, value string) map[string]string {
	all := map[string]string{}
	switch driver {
	case "awslogs":
		all["awslogs-group"] = "app"
	case "gelf":
		all["gelf-address"] = "udp://198.51.100.7:12201"
		if strings.HasPrefix(name, "gelf-tcp") {
			all["gelf-address"] = "tcp://198.51.100.7:12201"
		}
	case "syslog":
		if strings.HasPrefix(name, "syslog-tls") {
			all["syslog-address"] = "tcp+tls://198.51.100.7:6514"
		}
	case "splunk":
		all["splunk-url"], all["splunk-token"] = "https://splunk.example.com:8088", "00000000-0000-0000-0000-000000000000"
		if name != "splunk-verify-connection" {
			all["splunk-verify-connection"] = "false"
		}
	}
	all[name] = value
	return all
}

// otherDefaults are the defaults that are not Docker's, each with ours and the reason.
var otherDefaults = map[string][2]string{
	"fluentd-write-timeout": {"30s", "a receiver that does not read would hold up the lines without an end"},
	"fluentd-read-timeout":  {"1m", "a receiver that does not acknowledge would hold up the lines without an end"},
}

// otherValues are values that Docker's driver refuses and ours takes. Each is among the declared differences of the router.
var otherValues = map[string]string{
	"gelf gelf-address udp://graylog.example.com":       "gelf-address must have a port",
	"splunk splunk-url https://splunk.example.com/path": "splunk-url has no path",
}

// Each option of Docker's own drivers is one of ours, with the same default, or refused with a reason. Each value that an engine takes is
// taken, and each that all engines refuse is refused. What differs is declared above, and must differ.
func TestOptionsAreDockers(t *testing.T) {
	rules := &options.Rules{Kinds: logplugin.Routers(), Hostname: "host"}
	taken, refused := map[string]bool{}, map[string]bool{} // by driver, option and value
	differs := map[string]bool{}
	for _, engine := range engines {
		for _, o := range dockerOptions(t, engine) {
			k := kindOf(t, o.driver)
			if !slices.Contains(options.Common(), o.name) {
				ours := k.Option(o.name)
				if ours == nil {
					if k.Refused[o.name] == "" {
						t.Errorf("%s of Docker %s is neither an option of the router nor refused with a reason", o.name, engine)
					}
					continue
				}
				if fault := compareDefault(o, ours, differs); fault != "" {
					t.Errorf("%s of Docker %s: %s", o.name, engine, fault)
				}
			}
			if o.name == "tag" && tagOf(k) != o.def {
				t.Errorf("the tag of %s is %s without the option, want %s as in Docker %s", o.driver, tagOf(k), o.def, engine)
			}
			for _, v := range o.takes {
				taken[o.driver+" "+o.name+" "+v] = true
			}
			for _, v := range o.refuses {
				refused[o.driver+" "+o.name+" "+v] = true
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(taken)) {
		f := strings.SplitN(key, " ", 3)
		if err := parse(rules, f[0], given(f[0], f[1], f[2])); err != nil {
			t.Errorf("%s=%q is taken by Docker's driver %s, and refused here: %v", f[1], f[2], f[0], err)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(refused)) {
		f := strings.SplitN(key, " ", 3)
		_, declared := otherValues[key]
		if taken[key] || f[2] == "" { // an empty value is as none: it takes back what daemon.json gives
			continue
		}
		switch err := parse(rules, f[0], given(f[0], f[1], f[2])); {
		case err == nil && !declared:
			t.Errorf("%s=%q is refused by Docker's driver %s, and taken here", f[1], f[2], f[0])
		case err != nil && declared:
			t.Errorf("%s=%q is declared as taken, and refused: %v", f[1], f[2], err)
		case err != nil && !strings.Contains(err.Error(), f[1]):
			t.Errorf("%s=%q: the error does not name the option: %v", f[1], f[2], err)
		}
	}
	declared := slices.Concat(gelf.Differences, splunk.Differences)
	for value, beginning := range otherValues {
		if !refused[value] {
			t.Errorf("%s is declared as a value that Docker refuses, and is not in a list", value)
		}
		if !slices.ContainsFunc(declared, func(d struct{ Docker, Here string }) bool { return strings.HasPrefix(d.Docker, beginning) }) {
			t.Errorf("no declared difference begins with %q", beginning)
		}
	}
	for name := range otherDefaults {
		if !differs[name] {
			t.Errorf("the default of %s is declared as another than Docker's, and is not", name)
		}
	}
}

// compareDefault says what is wrong with the default of ours. An option that is ignored needs none.
func compareDefault(docker dockerOption, ours *router.Option, differs map[string]bool) string {
	have := ours.Default
	if ours.Required {
		have = required
	}
	switch declared, ok := otherDefaults[ours.Name]; {
	case have == docker.def, ours.Ignored && have == "":
		return ""
	case ok && have == declared[0]:
		differs[ours.Name] = true
		return ""
	}
	return fmt.Sprintf("its default is %q, want %q", have, docker.def)
}

func tagOf(k *router.Kind) string {
	if k.DefaultTag == "" {
		return "{{.ID}}"
	}
	return k.DefaultTag
}

func kindOf(t *testing.T, name string) *router.Kind {
	t.Helper()
	for _, k := range logplugin.Routers() {
		if k.Name == name {
			return &k
		}
	}
	t.Fatalf("there is no router %s", name)
	return nil
}

func parse(rules *options.Rules, driver string, given map[string]string) error {
	given["logDriver"] = driver
	o, err := rules.Parse(given, options.Info{ContainerID: strings.Repeat("e9", 32), ContainerName: "/web"})
	if err != nil {
		return err
	}
	for _, k := range rules.Kinds {
		if k.Name == driver {
			_, err = k.New(router.Options{Plain: o.Plain})
		}
	}
	return err
}
