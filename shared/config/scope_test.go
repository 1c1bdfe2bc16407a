package config

import (
	"errors"
	"testing"
)

// Each text is broken. It may speak of the hosts in yes, and certainly not of those in no.
func TestConcerns(t *testing.T) {
	const (
		a   = "a.example.com"
		b   = "b.example.com"
		ecr = "111122223333.dkr.ecr.eu-west-1.amazonaws.com"
	)
	broken := "[aws]\nregion = 1\n"
	for _, c := range []struct {
		name, text string
		yes, no    []string
	}{
		{"no rule", broken, nil, []string{a, ecr, "docker.io", "[::1]:5000"}},
		{"quoted", broken + `[registries."a.example.com"]`, []string{a, "https://A.example.com:443/v2/", a + "/x"}, []string{b, a + ":5000"}},
		{"literal", broken + `[registries.'a.example.com']`, []string{a}, []string{b}},
		{"unquoted", broken + `[registries.a.example.com]`, []string{a}, []string{b}},
		{"unquoted with port", broken + `[registries.a.example.com:5000]`, []string{a + ":5000"}, []string{b}},
		{"unquoted wildcard", broken + `[registries.*.example.com]`, []string{a, b}, []string{"example.com", "a.example.org"}},
		{"spaces", broken + "\t[ registries . \"a.example.com\" ] # [registries.\"b.example.com\"]", []string{a}, []string{b}},
		{"hub", broken + `[registries."https://index.docker.io/v1/"]`, []string{"docker.io"}, []string{a}},
		{"path", broken + `[registries."a.example.com/acme"]`, []string{a, a + "/acme", a + "/x"}, []string{b}},
		{"wildcard", broken + `[registries."*.example.com:5000"]`, []string{a + ":5000"}, []string{a, "x.y.example.com:5000"}},
		{"every host", broken + `[registries."*"]`, []string{a, ecr, "[::1]:5000"}, nil},
		{"IPv6", broken + `[registries."[::1]:5000"]`, []string{"[::1]:5000"}, []string{a, "[::2]:5000"}},
		{"IPv6 unquoted", broken + `[registries.[::1]:5000]`, []string{"[::1]:5000"}, []string{a, "[::2]:5000"}},
		{"comment", broken + `#[registries."a.example.com"]`, nil, []string{a}},
		{"open header", `[registries."a.example.com"`, []string{a}, []string{b}},
		{"open quote", `[registries."a.example.com]`, []string{a}, []string{b}},
		{"no opening bracket", `registries."a.example.com"]`, []string{a}, []string{b}},
		{"wrong case", `[Registries."a.example.com"]`, []string{a}, []string{b}},
		{"misspelt table", `[registry."a.example.com"]`, []string{a}, []string{b}},
		{"no table", `["a.example.com"]`, []string{a}, []string{b}},
		{"no table, unquoted", `[a.example.com]`, []string{a}, []string{b}},
		{"list", `[[registries."a.example.com"]]`, []string{a}, []string{b}},
		{"dotted keys", broken + `registries."a.example.com".helper = "x"`, []string{a}, []string{b}},
		{"dotted keys, unquoted", "registries.a.example.com.helper = 'x'", []string{a}, []string{b}},
		{"keys of the table", broken + "[registries]\n\"a.example.com\" = { helper = 1 }", []string{a}, []string{b}},
		{"inline table", `registries = { "a.example.com" = { helper = 1 } }`, []string{a, b}, nil},
		{"escape", broken + `[registries."\u0061.example.com"]`, []string{a, b}, nil},
		{"carriage returns alone", "[aws]\rregion = 1\r[registries.\"a.example.com\"]\r", []string{a}, []string{b}},
		{"byte order mark", "\uFEFF[registries.\"a.example.com\"]\nx=1", []string{a}, []string{b}},
		{"bad wildcard", `[registries."reg*.example.com"]`, []string{"reg1.example.com", a}, []string{"a.example.org"}},
		{"bad wildcard of all", `[registries."**"]`, []string{a}, nil},
		{"user info", `[registries."https://me@a.example.com"]`, []string{a}, []string{b}},
		{"not UTF-8", "\xff\xfe[\x00", []string{a, b}, nil},
		{"NUL", "x = 1\x00", []string{a, b}, nil},
		{"key of a rule like a host", broken + "[registries.\"a.example.com\"]\n\"b.example.com\" = 1", []string{a}, []string{b}},
		{"value like a header", broken + "[logs]\nallow_routers = [\n\"https://b.example.com\",\n]", nil, []string{b}},
		{"account", broken + "[accounts.\"b.example.com\"]", nil, []string{b}},
		{"ECR", broken + "[ecr]\nenabled = true", []string{ecr, "public.ecr.aws", "111122223333.dkr-ecr.eu-west-1.on.aws", "ecr-public.aws.com"}, []string{a}},
		{"ECR off", broken + "[ecr]\nenabled = false", nil, []string{ecr, a}},
		{"ECR, wrong type", "[ecr]\nenabled = \"true\"", []string{ecr}, []string{a}},
		{"ECR, wrong key", "[ecr]\nenable = true", []string{ecr}, []string{a}},
		{"ECR, wrong case", "[ECR]\nEnabled = true", []string{ecr}, []string{a}},
		{"ECR, dotted", broken + "ecr.enabled = true", []string{ecr}, []string{a}},
		{"ECR, inline", "ecr = {enabled = true, x = 1}", []string{ecr}, []string{a}},
		{"ECR, role alone", broken + "[ecr]\nrole_arn = 'x'", nil, []string{ecr}},
		{"ECR rule", broken + `[registries."` + ecr + `"]` + "\necr = true", []string{ecr}, []string{a, "444455556666.dkr.ecr.eu-west-1.amazonaws.com"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Load(layout(t, map[string]string{"config.toml": c.text}))
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("the text is not broken: %v", err)
			}
			for _, h := range c.yes {
				if !e.Concerns(host(t, h)) {
					t.Errorf("does not concern %s: %v", h, err)
				}
			}
			for _, h := range c.no {
				if e.Concerns(host(t, h)) {
					t.Errorf("concerns %s: %v", h, err)
				}
			}
		})
	}
}

// The mistake is in one file; rules stand in all of them.
func TestConcernsLooksAtEveryFile(t *testing.T) {
	_, err := Load(layout(t, map[string]string{
		"config.toml":   "[aws\n",
		"conf.d/1.toml": "[registries.\"a.example.com\"]\nhelper = \"pass\"",
		"user.toml":     "[registries.\"b.example.com\"]\nhelper = ",
	}))
	var e *Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	for h, want := range map[string]bool{"a.example.com": true, "b.example.com": true, "c.example.com": false} {
		if got := e.Concerns(host(t, h)); got != want {
			t.Errorf("Concerns(%s) = %v, want %v", h, got, want)
		}
	}
	if !(&Error{}).Concerns(host(t, "c.example.com")) {
		t.Error("an error that knows no files is sure of a host")
	}
}

// A registry that the broken text does not speak of is answered as the text says, where it can be read.
func TestErrorNotFound(t *testing.T) {
	const broken = "[aws]\nregion = 1\n"
	for _, c := range []struct {
		name, text string
		want       NotFound
	}{
		{"not given", broken, NotFoundError},
		{"error", "not_found = \"error\"\n" + broken, NotFoundError},
		{"anonymous", "not_found = \"anonymous\"\n" + broken, NotFoundAnonymous},
		{"literal", "not_found='anonymous' # for Nomad\n" + broken, NotFoundAnonymous},
		{"unknown", "not_found = \"nothing\"\n" + broken, NotFoundError},
		{"comment", "# not_found = \"anonymous\"\n" + broken, NotFoundError},
		{"in a table", broken + "not_found = \"anonymous\"\n", NotFoundError},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Load(layout(t, map[string]string{"config.toml": c.text}))
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("Load = %v, want an *Error", err)
			}
			if got := e.NotFound(); got != c.want {
				t.Errorf("NotFound() = %q, want %q", got, c.want)
			}
		})
	}
}
