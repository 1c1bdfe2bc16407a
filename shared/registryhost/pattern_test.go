package registryhost

import (
	"slices"
	"strings"
	"testing"
)

func name(t *testing.T, s string) Name {
	t.Helper()
	n, err := Normalize(s)
	if err != nil {
		t.Fatalf("Normalize(%q): %v", s, err)
	}
	return n
}

func pattern(t *testing.T, s string) Pattern {
	t.Helper()
	p, err := ParsePattern(s)
	if err != nil {
		t.Fatalf("ParsePattern(%q): %v", s, err)
	}
	return p
}

func TestPatternString(t *testing.T) {
	for in, want := range map[string]string{
		"registry.example.com":        "registry.example.com",
		"REGISTRY.example.com:443":    "registry.example.com",
		"https://index.docker.io/v1/": "docker.io",
		"index.docker.io/library/":    "docker.io/library",
		"*.Corp.example:5000":         "*.corp.example:5000",
		"a.*.example":                 "a.*.example",
		"*":                           "*",
		" * ":                         "*",
		"*:443":                       "*",
		"*:5000":                      "*:5000",
		"ghcr.io/acme/":               "ghcr.io/acme",
		"*.example.com/acme":          "*.example.com/acme",
		"[::1]:5000":                  "[::1]:5000",
	} {
		if got := pattern(t, in).String(); got != want {
			t.Errorf("ParsePattern(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestPatternRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"":                          "empty",
		"reg*.example.com":          "whole label",
		"**.example.com":            "whole label",
		"*.example.com:*":           "port",
		"ghcr.io/*":                 "path",
		"*/acme":                    "lone *",
		"h.example?x":               "query",
		"ftp://h.example":           "scheme",
		"docker.io/v1/access-token": "not the address",
		"me@h.example":              "user info",
		"ssh://git@h.example":       "user info",
		"[*]:5000":                  "IPv6",
	} {
		if p, err := ParsePattern(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParsePattern(%q) = %v, %v, want an error with %q", in, p, err, want)
		}
	}
}

func TestPatternMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"registry.example.com", "https://REGISTRY.example.com:443/v2/", true},
		{"registry.example.com", "registry.example.com/acme", true},
		{"registry.example.com", "registry.example.com:5000", false},
		{"registry.example.com", "example.com", false},
		{"registry.example.com:5000", "registry.example.com:5000", true},
		{"registry.example.com:5000", "registry.example.com", false},
		{"docker.io", HubKey, true},
		{"index.docker.io", "docker.io", true},
		{"*.corp.example:5000", "a.corp.example:5000", true},
		{"*.corp.example:5000", "a.corp.example", false},
		{"*.corp.example:5000", "a.corp.example:5001", false},
		{"*.corp.example:5000", "a.b.corp.example:5000", false},
		{"*.corp.example:5000", "corp.example:5000", false},
		{"*.corp.example", "a.corp.example:5000", false},
		{"*.corp.example", "acorp.example", false},
		{"a.*.example", "a.b.example", true},
		{"a.*.example", "a.b.c.example", false},
		{"a.*.example", "b.b.example", false},
		{"*", "anything.example:5000", true},
		{"*", "[::1]:5000", true},
		{"*", "docker.io", true},
		{"*:5000", "localhost:5000", true},
		{"*:5000", "a.example:5000", false},
		{"*:5000", "[::1]:5000", false},
		{"*.*", "a.b", true},
		{"[::1]:5000", "[0:0::1]:5000", true},
		{"ghcr.io/acme", "ghcr.io/acme", true},
		{"ghcr.io/acme", "ghcr.io/acme/app", true},
		{"ghcr.io/acme", "ghcr.io/acmeother", false},
		{"ghcr.io/acme", "ghcr.io", false},
		{"ghcr.io/acme/app", "ghcr.io/acme", false},
		{"docker.io/library", "index.docker.io/library/x", true},
	} {
		if got := pattern(t, c.pattern).Match(name(t, c.name)); got != c.want {
			t.Errorf("%q matches %q: %v, want %v", c.pattern, c.name, got, c.want)
		}
	}
	if (Pattern{}).Match(Name{}) || (Pattern{}).Match(Name{Host: "h.example"}) || pattern(t, "*").Match(Name{}) {
		t.Error("the zero Pattern or the zero Name matches")
	}
	if p := pattern(t, "ghcr.io/acme"); !p.MatchHost(name(t, "ghcr.io")) || p.MatchHost(name(t, "quay.io")) {
		t.Error("MatchHost looks at the path, or not at the host")
	}
}

func TestPatternBreadth(t *testing.T) {
	for _, c := range []struct {
		in                string
		broad, exact, any bool
	}{
		{"*", true, false, true},
		{"*.com", true, false, false},
		{"*.com:5000", true, false, false},
		{"*.com/acme", true, false, false},
		{"*:5000", true, false, false},
		{"*.*.com", true, false, false},
		{"example.*", true, false, false},
		{"*.example.com", false, false, false},
		{"a.*.example", true, false, false},
		{"registry.*.com", true, false, false},
		{"registry.example.*", true, false, false},
		{"*.example.*", true, false, false},
		{"a.b.*.example:5000/acme", true, false, false},
		{"*.0.0.5", true, false, false},
		{"10.0.*.5:5000", true, false, false},
		{"*.0.0.0x5", true, false, false},
		{"*.co.uk", true, false, false},
		{"*.COM.au:5000", true, false, false},
		{"*.nom.br/acme", true, false, false},
		{"*.*.co.uk", true, false, false},
		{"registry.*.co.uk", true, false, false},
		{"*.example.co.uk", false, false, false},
		{"*.com.example", false, false, false},
		{"*.corp.uk", false, false, false},
		{"*.*.example.com", false, false, false},
		{"a.*.example.com:5000", false, false, false},
		{"*.corp.example:5000/acme", false, false, false},
		{"10.0.0.5", false, true, false},
		{"co.uk", false, true, false},
		{"localhost", false, true, false},
		{"com/acme", false, true, false},
		{"[::1]", false, true, false},
	} {
		p := pattern(t, c.in)
		if p.TooBroad() != c.broad || p.IsExact() != c.exact || p.IsAny() != c.any {
			t.Errorf("%q: TooBroad %v IsExact %v IsAny %v, want %v %v %v",
				c.in, p.TooBroad(), p.IsExact(), p.IsAny(), c.broad, c.exact, c.any)
		}
	}
}

func TestPatternCompare(t *testing.T) {
	best := []string{ // the order that every shuffle must come back to
		"a.b.example/x/y", "a.b.example/x", "a.b.example", "b.example", "c.example",
		"*.b.example/x/y", "*.example/x/y", "*.example/x",
		"*.b.example", "a.*.example", "*.example",
		"*",
	}
	var got []Pattern
	for _, s := range best {
		got = append(got, pattern(t, s))
	}
	want := slices.Clone(got)
	slices.Reverse(got)
	slices.SortFunc(got, Pattern.Compare)
	if !slices.Equal(got, want) {
		t.Errorf("sorted %v, want %v", got, want)
	}
	if got[0].Compare(got[0]) != 0 {
		t.Error("a pattern differs from itself")
	}
}

func FuzzParsePattern(f *testing.F) {
	for _, s := range []string{"*", "*.corp.example:5000", "ghcr.io/acme", HubKey, "[::1]:443/x", "*:443", "http://*:80/v2", "*.co.uk", "oci://a:b@*"} {
		f.Add(s, "a.corp.example:5000")
	}
	f.Fuzz(func(t *testing.T, s, server string) {
		p, err := ParsePattern(s)
		if err != nil {
			return
		}
		again, err := ParsePattern(p.String())
		if err != nil || again != p {
			t.Errorf("ParsePattern(%q) = %v, and of that %v, %v", s, p, again, err)
		}
		n, err := Normalize(server)
		if err != nil {
			return
		}
		if p.Match(n) && !p.MatchHost(n) {
			t.Errorf("%v matches %v but not its host", p, n)
		}
		if p.IsExact() && p.MatchHost(n) && p.Host() != n.Host {
			t.Errorf("exact %v matches %v", p, n)
		}
	})
}
