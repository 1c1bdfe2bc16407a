//go:build integration

package parity

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/logplugin/router/splunk/hectest"
)

// The declared differences of the options that every router has.
const (
	labelsRegex = "labels-regex picks nothing"
	imageID     = "tag: {{.ImageID}}"
	environment = "tag: a template sees the container's whole environment"
	terminal    = "a terminal's line"
	emptyValue  = "an empty value of an option"
	budget      = "tag, labels-regex and env-regex may take any time"
)

func testOptions(t *testing.T, h *host) {
	known := newDifferences(t, options.Differences)
	hec, err := hectest.Start(hectest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hec.Close)
	type event struct {
		Line  string
		Tag   string
		Attrs map[string]string
	}
	tty := false
	run := func(t *testing.T, given map[string]string, ours bool) event {
		c := container{tty: tty, lines: []routertest.InputLine{{Stream: "stdout", Line: []byte("line"), Newline: true}}, labels: labels, env: env,
			options: with(map[string]string{"splunk-url": hec.URL(), "splunk-token": token}, given)}
		s := h.events(t, hec, c, ours)
		var in struct{ Event event }
		if err := json.Unmarshal([]byte(s.events[0]), &in); err != nil {
			t.Fatal(err)
		}
		return in.Event
	}
	for _, c := range []struct {
		name    string
		options map[string]string
		differs string // "" = it must not
		old     bool   // only on 20.10
	}{
		{name: "labels", options: map[string]string{"labels": "tier,shared"}},
		{name: "labels with blanks", options: map[string]string{"labels": "tier, shared"}},
		{name: "env-regex alone", options: map[string]string{"env-regex": "^(ZONE|APP)"}},
		{name: "labels-regex alone", options: map[string]string{"labels-regex": "example"}},
		{name: "image", options: map[string]string{"tag": "{{.ImageID}}"}, differs: imageID, old: true},
		{name: "full image", options: map[string]string{"tag": "{{.ImageFullID}} {{.ImageName}} {{.DaemonName}}"}},
		{name: "functions", options: map[string]string{"tag": `{{upper .Name}}{{pad .ID 1 1}}{{truncate .ImageName 3}}{{join (split .Command "/") "+"}}{{json .Name}}{{title "x y"}}`}},
		{name: "attributes", options: map[string]string{"labels": "tier", "tag": "{{(.ExtraAttributes nil).tier}}{{(.ExtraAttributes nil).missing}}"}},
		{name: "label", options: map[string]string{"tag": `{{index .ContainerLabels "com.example.team"}} {{.ContainerEntrypoint}} {{.ContainerArgs}}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			docker, here := run(t, c.options, false), run(t, c.options, true)
			differ := docker.Tag != here.Tag || !maps.Equal(docker.Attrs, here.Attrs)
			if want := c.differs != "" && (h.old || !c.old); differ != want {
				t.Errorf("got %+v, Docker's %+v; they differ: %v, want %v", here, docker, differ, want)
			}
			if differ && c.differs != "" {
				known.shows(c.differs)
			}
		})
	}
	// What Docker's driver takes and ours refuses.
	for _, c := range []struct{ name, tag, docker, difference string }{
		{"environment", `{{index .ContainerEnv 0}}`, "=", environment},
		{"budget", strings.Repeat("x", 5000), strings.Repeat("x", 5000), budget},
	} {
		t.Run(c.name, func(t *testing.T) {
			given := map[string]string{"tag": c.tag}
			docker := run(t, given, false)
			out, err := h.try(t, container{env: env, options: with(map[string]string{"splunk-url": hec.URL(), "splunk-token": token}, given)}, "splunk", true)
			if !strings.Contains(docker.Tag, c.docker) || err == nil || !strings.Contains(out, "log-opt tag") {
				t.Errorf("Docker's tag is %q, and our driver says %v, %s; want %q in it, and a refusal", docker.Tag, err, out, c.docker)
				return
			}
			known.shows(c.difference)
		})
	}
	t.Run("an empty value", func(t *testing.T) {
		c := container{options: map[string]string{"splunk-url": hec.URL(), "splunk-token": token, "splunk-gzip": ""}}
		if out, err := h.try(t, c, "splunk", false); err == nil || !strings.Contains(out, "invalid syntax") {
			t.Errorf("Docker's driver takes an empty value: %v, %s", err, out)
		}
		h.run(t, c, "splunk", true)
		known.shows(emptyValue)
	})
	t.Run("terminal", func(t *testing.T) {
		tty = true
		docker, here := run(t, nil, false), run(t, nil, true)
		if docker.Line != here.Line+"\r" || here.Line != "line" {
			t.Errorf("Docker's line is %q, and ours %q; want a carriage return at the end of Docker's alone", docker.Line, here.Line)
			return
		}
		known.shows(terminal)
	})
	if t.Failed() {
		return
	}
	absent := []string{labelsRegex} // neither of the two engines does it
	if !h.old {
		absent = append(absent, imageID)
	}
	known.complete(absent...)
}
