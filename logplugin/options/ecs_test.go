package options

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/ecs"
	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/resolve"
)

// TestECS runs every case about secretOptions that is ours: as ECS does, or, where the table of differences names the
// case, with an error instead of a silent omission. The options come out as ECS would have written them for the driver.
func TestECS(t *testing.T) {
	cases := slices.Concat(ecs.Cases(ecs.SecretOptions, "so-"), ecs.Cases(ecs.SecretOptions, "shim-"), ecs.Cases(ecs.SecretOptions, "tmds-"))
	if len(cases) < 5 {
		t.Fatalf("%d cases, want 5 or more", len(cases))
	}
	for _, c := range cases {
		t.Run(c.ID, func(t *testing.T) { runECS(t, c) })
	}
}

func runECS(t *testing.T, c ecs.Case) {
	var in struct {
		LogDriver     string
		Options       map[string]string
		SecretOptions []struct{ Name, ValueFrom, Region string }
	}
	var expect struct {
		LogConfig     map[string]string
		ErrorContains []string `json:"error_contains"`
	}
	var stored map[string]string
	if err := c.Read(&in, &stored, &expect); err != nil {
		t.Fatal(err)
	}
	given := map[string]string{"logDriver": in.LogDriver}
	maps.Copy(given, in.Options)
	if c.ID == "shim-token-neither" { // there the driver is the name of the program
		given["logDriver"] = "splunk"
	}
	// The case writes placeholders where AWS has a region and an account.
	replace := strings.NewReplacer(":region:aws_account_id:", ":eu-west-1:111122223333:")
	list := []map[string]string{}
	region := "eu-west-1"
	for _, o := range in.SecretOptions {
		list = append(list, map[string]string{"name": o.Name, "valueFrom": replace.Replace(o.ValueFrom)})
		if o.Region != "" {
			region = o.Region
		}
	}
	text, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	given["secretOptions"] = string(text)
	store(t, stored)

	// The cases leave out what the driver needs besides.
	r := rules()
	if c.ID != "shim-token-neither" {
		for i := range r.Kinds[0].Options {
			r.Kinds[0].Options[i].Required = false
		}
	}
	if given["logDriver"] == "splunk" && in.Options == nil {
		given["splunk-url"] = "https://h:8088"
		if expect.LogConfig != nil {
			expect.LogConfig["splunk-url"] = "https://h:8088"
		}
	}
	o, err := r.Parse(given, info())
	got := map[string]string{}
	if err == nil {
		got, err = asECS(t, given, o, region)
	}
	switch {
	case expect.ErrorContains != nil:
		if err == nil || !strings.Contains(err.Error(), expect.ErrorContains[0]) {
			t.Errorf("error %v, want %q in it", err, expect.ErrorContains)
		}
	case ecs.Differs(c.ID):
		if err == nil {
			t.Errorf("no error, but the table of differences names the case")
		}
		if want := fault.BadValue; c.ID == "so-empty-value-dropped" && fault.KindOf(err) != want {
			t.Errorf("error %v, want kind %s", err, want)
		}
	case err != nil || !maps.Equal(got, expect.LogConfig):
		t.Errorf("options %q, %v, want %q", got, err, expect.LogConfig)
	}
}

// asECS returns the options as ECS hands them to the driver, values included.
func asECS(t *testing.T, given map[string]string, o Options, region string) (map[string]string, error) {
	t.Helper()
	resolver := resolve.New(awsconf.New(config.AWS{Region: region}, "test", "1"), resolve.Options{Timeout: 5 * time.Second})
	t.Cleanup(resolver.Close)
	m := maps.Clone(map[string]string(o.Plain))
	for name, ref := range o.References {
		a := resolver.Resolve(t.Context(), resolve.Request{Ref: ref, Region: region})[0]
		if a.Err != nil {
			return nil, a.Err
		}
		m[name] = a.Value.Reveal()
	}
	if tag, ok := given["tag"]; ok {
		m["tag"] = tag
		if o.Tag != tag {
			t.Errorf("tag %q, want %q", o.Tag, tag)
		}
	}
	return m, nil
}

// store starts an AWS with the parameters of a case.
func store(t *testing.T, stored map[string]string) {
	t.Helper()
	fake := fakeaws.New(t, fakeaws.Options{})
	for _, kv := range fake.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		t.Setenv(name, value)
	}
	t.Setenv("AWS_CA_BUNDLE", "")
	for key, value := range stored {
		name, region, ok := strings.Cut(key, "_us-") // the agent's keys may have the region at their end
		if ok {
			region = "us-" + region
		}
		fake.PutParameter(fakeaws.Parameter{Name: name, Value: value, Region: region})
	}
}
