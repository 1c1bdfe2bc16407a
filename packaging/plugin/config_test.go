// Package plugin_test holds the managed plugin to what the log driver knows, and runs it.
package plugin_test

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/shared/config"
)

// others are the settings that are not keys of the configuration: what the AWS SDK and Go's HTTP client read.
var others = []string{"AWS_EC2_METADATA_SERVICE_ENDPOINT", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"}

// manifest is config.json, with the fields of Docker that it uses. Docker itself takes any other in silence.
type manifest struct {
	Description, Documentation, PropagatedMount string

	Entrypoint []string
	Interface  struct {
		Types  []string
		Socket string
	}
	Network struct{ Type string }
	Linux   struct{ Capabilities []string }
	Env     []setting
}

type setting struct {
	Name, Description string
	Settable          []string
	Value             *string
}

func read(t *testing.T) manifest {
	t.Helper()
	data, err := os.ReadFile("config.json")
	if err != nil {
		t.Fatal(err)
	}
	var m manifest
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m
}

// The plugin has every key as a setting, and the host's network and nothing more of the host.
func TestManifest(t *testing.T) {
	m := read(t)
	var got []string
	for _, e := range m.Env {
		got = append(got, e.Name)
		if e.Description == "" || !slices.Equal(e.Settable, []string{"value"}) {
			t.Errorf("%s has no description, or cannot be set", e.Name)
		}
		if isState := e.Name == "SECRETREF_LOGS_STATE_DIR"; isState != (e.Value != nil) {
			t.Errorf("%s: value %v; a value stays over upgrades, so only the state directory has one", e.Name, e.Value)
		} else if isState && !strings.HasPrefix(*e.Value, m.PropagatedMount+"/") {
			t.Errorf("the state directory %s is not below the mount %s, which alone outlives an upgrade", *e.Value, m.PropagatedMount)
		}
	}
	want := append(config.Variables(), others...)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("config.json has the settings\n%v\nwant\n%v", got, want)
	}
	if m.PropagatedMount != "/run/docker/logging" || m.Network.Type != "host" || len(m.Linux.Capabilities) > 0 {
		t.Errorf("propagated mount %q, network %q, capabilities %q", m.PropagatedMount, m.Network.Type, m.Linux.Capabilities)
	}
}

// A value that a description calls the default is the default.
func TestDefaults(t *testing.T) {
	var environ []string
	for _, e := range read(t).Env {
		if d := regexp.MustCompile(`\(default: (\d\w*)\)`).FindStringSubmatch(e.Description); d != nil {
			environ = append(environ, e.Name+"="+d[1])
		}
	}
	got, err := config.Load(config.Options{Environ: environ})
	if err != nil {
		t.Fatal(err)
	}
	want, err := config.Load(config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q gives %+v, want the defaults %+v", environ, got, want)
	}
	if len(environ) < 6 {
		t.Errorf("only %q found in the descriptions", environ)
	}
}
