package options

import (
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
)

func TestTag(t *testing.T) {
	const image = "sha256:9b1e8db6d7fc1c69e48a1d6bea94e43adcd40272d118a095b26a9c6e2b0642bc"
	for template, want := range map[string]string{
		"plain text <tag>":                       "plain text <tag>",
		"{{.ImageName}}/{{.Name}}/{{.ID}}":       "wire/emit:1.0/wire-app/e9e312e154ae",
		"{{.FullID}}|{{.ContainerName}}":         id + "|/wire-app",
		"{{.ImageID}}|{{.ImageFullID}}":          "9b1e8db6d7fc|" + image,
		"{{.DaemonName}}|{{.Command}}":           "docker|/app short",
		"{{.Hostname}}":                          "wirehost",
		"{{.ContainerLabels.tier}}":              "front",
		"{{(.ExtraAttributes nil).APP_ENV}}":     "prod",
		"{{(.ExtraAttributes nil).PASSWORD}}":    "<no value>",
		"{{upper .Name}} {{lower `ABC`}}":        "WIRE-APP abc",
		"{{title `two words_here it's`}}":        "Two Words_here It'S",
		"{{json .ContainerArgs}}{{json `<&>`}}":  `["short"]"<&>"`,
		"{{join (split `a.b.c` `.`) `-`}}":       "a-b-c",
		"[{{pad .Name 1 2}}][{{pad `` 1 2}}]":    "[ wire-app  ][]",
		"{{truncate .Name 4}}{{truncate `a` 4}}": "wirea",
	} {
		o, err := rules().Parse(splunk("tag", template, "env", "APP_ENV"), info())
		if err != nil || o.Tag != want {
			t.Errorf("tag %q gives %q, %v, want %q", template, o.Tag, err, want)
		}
	}
}

func TestEmptyTag(t *testing.T) {
	for _, c := range []struct {
		config map[string]string
		want   string
	}{
		{splunk("tag", ""), ""}, // as Docker's splunk driver: no tag at all
		{splunk(), id[:12]},
		{map[string]string{"logDriver": "fluentd", "tag": ""}, id[:12]},
	} {
		if o, err := rules().Parse(c.config, info()); err != nil || o.Tag != c.want {
			t.Errorf("%q: tag %q, %v, want %q", c.config, o.Tag, err, c.want)
		}
	}
}

func TestHostnameOfTheSystem(t *testing.T) {
	r := rules()
	r.Hostname = ""
	want, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if o, err := r.Parse(splunk("tag", "{{.Hostname}}"), info()); err != nil || o.Tag != want {
		t.Errorf("tag %q, %v, want %q", o.Tag, err, want)
	}
}

func TestAttributes(t *testing.T) {
	for name, c := range map[string]struct {
		config map[string]string
		want   map[string]string
	}{
		"none":                        {splunk(), map[string]string{}},
		"labels, one missing":         {splunk("labels", "tier,missing,quote"), map[string]string{"tier": "front", "quote": `a"b`}},
		"blanks belong to the name":   {splunk("labels", "tier, quote"), map[string]string{"tier": "front"}},
		"empty value is kept":         {splunk("env", "APP_EMPTY,APP_QUOTE,,odd"), map[string]string{"APP_EMPTY": "", "APP_QUOTE": "a=b"}},
		"environment beats label":     {splunk("labels", "shared", "env", "shared"), map[string]string{"shared": "fromenv"}},
		"the label alone":             {splunk("labels", "shared"), map[string]string{"shared": "fromlabel"}},
		"environment regex beats too": {splunk("labels", "shared", "env-regex", "^sh"), map[string]string{"shared": "fromenv"}},
		"regex is not anchored":       {splunk("labels-regex", "example"), map[string]string{"com.example.team": "blue", "com.example.app": "shop"}},
		"both regexes":                {splunk("labels-regex", `^com\.example\.t`, "env-regex", "^OTH"), map[string]string{"com.example.team": "blue", "OTHER": "1"}},
		"empty options":               {splunk("labels", "", "labels-regex", "", "env", "", "env-regex", ""), map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := rules().Parse(c.config, info())
			if err != nil || !maps.Equal(o.Attributes, c.want) {
				t.Errorf("attributes %q, %v, want %q", o.Attributes, err, c.want)
			}
		})
	}
}

// A translation adds attributes, also in a destination of the configuration: what is picked comes before them, and an empty one is left out.
func TestAttributesOfATranslation(t *testing.T) {
	r := rules()
	r.Kinds = append(r.Kinds, router.Kind{Name: "foreign", Translate: func(f router.Foreign) (router.Translated, error) {
		f.Plain["splunk-url"], f.Plain["splunk-token"] = "https://splunk.example.com", "t"
		return router.Translated{Router: "splunk", Plain: f.Plain, Attributes: map[string]string{
			"team": `{{index .ContainerLabels "com.example.team"}}`, "tier": "behind", "none": `{{index .ContainerLabels "none"}}`,
		}}, nil
	}})
	r.Destinations = map[string]map[string]string{"d": {"logDriver": "foreign"}}
	want := map[string]string{"team": "blue", "tier": "front"}
	for name, given := range map[string]map[string]string{
		"own": {"logDriver": "foreign", "labels": "tier"}, "destination": {"destination": "d", "labels": "tier"},
	} {
		o, err := r.Parse(given, info())
		if err != nil || !maps.Equal(o.Attributes, want) {
			t.Errorf("%s: %v, %v, want %v", name, o.Attributes, err, want)
		}
		if again, err := r.Expand(o, info()); err != nil || !maps.Equal(again.Attributes, want) {
			t.Errorf("%s, from the state: %v, %v", name, again.Attributes, err)
		}
	}
	r.Kinds[len(r.Kinds)-1].Translate = func(router.Foreign) (router.Translated, error) {
		return router.Translated{Router: "splunk", Plain: map[string]string{"splunk-url": "https://splunk.example.com", "splunk-token": "t"}, Attributes: map[string]string{"a": "{{"}}, nil
	}
	if _, err := r.Parse(map[string]string{"logDriver": "foreign"}, info()); err == nil || !strings.Contains(err.Error(), "log-opt a:") {
		t.Errorf("a template that is none: %v", err)
	}
}
