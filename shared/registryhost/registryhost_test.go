package registryhost

import (
	"errors"
	"strings"
	"testing"
)

func TestNormalize(t *testing.T) {
	hub := Name{Host: Hub}
	for _, c := range []struct {
		name, in string
		want     Name
	}{
		{"hub key", HubKey, hub},
		{"hub key without slash", "https://index.docker.io/v1", hub},
		{"hub index", "index.docker.io", hub},
		{"hub short", "docker.io", hub},
		{"hub registry", "registry-1.docker.io", hub},
		{"hub registry v2", "https://registry-1.docker.io/v2/", hub},
		{"hub old web name", "registry.hub.docker.com", hub},
		{"hub with port", "docker.io:443", hub},
		{"hub in capitals", "HTTPS://Index.Docker.IO/v1/", hub},
		{"hub, absolute", "docker.io.", hub},
		{"hub over http", "http://index.docker.io:80/v1/", hub},
		{"hub on a port of its own is another", "docker.io:5000", Name{Host: "docker.io:5000"}},
		{"hub repository", "index.docker.io/library/x", Name{Hub, "library/x"}},
		{"like hub", "notdocker.io", Name{Host: "notdocker.io"}},
		{"below hub", "x.docker.io", Name{Host: "x.docker.io"}},
		{"plain", "registry.example.com", Name{Host: "registry.example.com"}},
		{"white space around", " registry.example.com\r\n", Name{Host: "registry.example.com"}},
		{"capitals", "Registry.Example.COM", Name{Host: "registry.example.com"}},
		{"port", "registry.example.com:5000", Name{Host: "registry.example.com:5000"}},
		{"port with leading zero", "registry.example.com:05000", Name{Host: "registry.example.com:5000"}},
		{"https", "https://registry.example.com", Name{Host: "registry.example.com"}},
		{"https, slash", "https://registry.example.com/", Name{Host: "registry.example.com"}},
		{"default port", "registry.example.com:443", Name{Host: "registry.example.com"}},
		{"default port, https", "https://registry.example.com:443", Name{Host: "registry.example.com"}},
		{"nerdctl", "http://registry.example.com:443", Name{Host: "registry.example.com"}},
		{"80 over http", "http://registry.example.com:80", Name{Host: "registry.example.com"}},
		{"80 without scheme", "registry.example.com:80", Name{Host: "registry.example.com:80"}},
		{"80 over https", "https://registry.example.com:80", Name{Host: "registry.example.com:80"}},
		{"localhost", "localhost:5000", Name{Host: "localhost:5000"}},
		{"one label", "registry", Name{Host: "registry"}},
		{"container name", "my_registry:5000", Name{Host: "my_registry:5000"}},
		{"IPv4", "10.0.0.1:5000", Name{Host: "10.0.0.1:5000"}},
		{"IPv6", "[::1]", Name{Host: "[::1]"}},
		{"IPv6 port", "https://[::1]:5000/v2/", Name{Host: "[::1]:5000"}},
		{"IPv6 default port", "[2001:DB8:0::1]:443", Name{Host: "[2001:db8::1]"}},
		{"v1", "https://registry.example.com/v1/", Name{Host: "registry.example.com"}},
		{"v2", "https://registry.example.com/v2/", Name{Host: "registry.example.com"}},
		{"path", "ghcr.io/acme/app", Name{"ghcr.io", "acme/app"}},
		{"path slashes", "https://ghcr.io//acme//app/", Name{"ghcr.io", "acme/app"}},
		{"path keeps its case", "ghcr.io/Acme", Name{"ghcr.io", "Acme"}},
		{"path that ends in v2", "ghcr.io/acme/v2", Name{"ghcr.io", "acme/v2"}},
		{"query", "https://registry.example.com/v2/?account=a@b", Name{Host: "registry.example.com"}},
		{"fragment", "https://registry.example.com/#x", Name{Host: "registry.example.com"}},
		{"no scheme, slashes", "//registry.example.com", Name{Host: "registry.example.com"}},
		{"token key of another host", "https://registry.example.com/v1/access-token", Name{"registry.example.com", "v1/access-token"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Normalize(c.in)
			if err != nil || got != c.want {
				t.Errorf("Normalize(%q) = %+v, %v, want %+v", c.in, got, err, c.want)
			}
		})
	}
}

func TestNormalizeNotARegistry(t *testing.T) {
	for _, in := range []string{
		"https://index.docker.io/v1/access-token",
		"https://index.docker.io/v1/refresh-token",
		"https://index.docker.io/v1/refresh-token/",
		"docker.io/v1/access-token",
		"nerdctl-experimental://registry.example.com/v1",
		"ftp://registry.example.com",
		"ssh://registry.example.com/x",
		"://registry.example.com",
	} {
		if n, err := Normalize(in); !errors.Is(err, ErrNotRegistry) {
			t.Errorf("Normalize(%q) = %+v, %v, want ErrNotRegistry", in, n, err)
		}
	}
}

func TestNormalizeRefuses(t *testing.T) {
	const canary = "s3cr3t"
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", "is empty"},
		{"blank", " \t\n", "is empty"},
		{"too long", "h.example/" + strings.Repeat("a", 1024), "more than 1024"},
		{"inner blank", "registry example.com", "blank or a control"},
		{"line break", "a.example\nb.example", "blank or a control"},
		{"NUL", "a.example\x00", "blank or a control"},
		{"escape", "a.example\x1b[31m", "blank or a control"},
		{"DEL", "a\x7f.example", "blank or a control"},
		{"not ASCII", "régistry.example", "xn--"},
		{"user info", "https://me:" + canary + "@h.example/", "user info"},
		{"user info, no scheme", "me:" + canary + "@h.example", "user info"},
		{"user info with slash", "https://me:" + canary + "/x@h.example/", "user info"},
		{"user info and blank", "https://me:" + canary + " @h.example", "blank or a control"},
		{"user info, another scheme", "oci://me:" + canary + "@x", "user info"},
		{"user info, another scheme and a query", "oci://me:" + canary + "?@x", "user info"},
		{"user info, another scheme and a slash", "ssh://me:" + canary + "/@x", "user info"},
		{"user info in the query of a token key", HubKey + "access-token?me:" + canary + "@x", "user info"},
		{"user info before the scheme", "me:" + canary + "@oci://x", "user info"},
		{"user info behind a query", "https://me:" + canary + "?x@h.example", "port"},
		{"dot dot", "h.example/../x", `".."`},
		{"dot dot at the start", "../h.example", `".."`},
		{"dot", "h.example/./x", `"."`},
		{"no host", "https:///x", "no host"},
		{"only a dot", ".", "no host"},
		{"only a port", ":5000", "no host"},
		{"absolute path", "/var/run/x", "no host"},
		{"empty label", ".h.example", "empty label"},
		{"long label", strings.Repeat("a", 64) + ".example", "more than 63"},
		{"long host", strings.Repeat("abcdefg.", 40) + "example", "more than 253"},
		{"port 0", "h.example:0", "port"},
		{"port too big", "h.example:65536", "port"},
		{"port a word", "h.example:http", "port"},
		{"port signed", "h.example:+5", "port"},
		{"port missing", "h.example:", "port"},
		{"IPv6 without brackets", "::1", "brackets"},
		{"IPv6 open bracket", "[::1", "not closed"},
		{"IPv6 zone", "[fe80::1%eth0]:5000", "IPv6"},
		{"IPv4 in brackets", "[10.0.0.1]", "IPv6"},
		{"empty brackets", "[]", "IPv6"},
		{"text after bracket", "[::1]x", "closing bracket"},
		{"wildcard", "*.h.example", `'*'`},
		{"back slash", `h.example\x`, "character"},
		{"percent", "h.example/%2e%2e/x", `'%'`},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, err := Normalize(c.in)
			if err == nil || errors.Is(err, ErrNotRegistry) {
				t.Fatalf("Normalize(%q) = %+v, %v, want an error of its own", c.in, n, err)
			}
			text := err.Error()
			if !strings.Contains(text, c.want) {
				t.Errorf("Normalize(%q): %q, want %q in it", c.in, text, c.want)
			}
			if strings.Contains(text, canary) {
				t.Errorf("the error shows user info: %q", text)
			}
			if strings.ContainsAny(text, "\n\x00\x1b") || len(text) > 400 {
				t.Errorf("the error is not a short line: %q", text)
			}
		})
	}
}

func FuzzNormalize(f *testing.F) {
	for _, s := range []string{HubKey, "h.example:443/v2/v2", "http://[::1]:80/a", "https://a:b@c", "http://x:443/http://y", "h/v1/v2/", "oci://me:hunter2@x", "me@oci://x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := Normalize(s)
		if err != nil {
			if errors.Is(err, ErrNotRegistry) && strings.Contains(s, "@") {
				t.Errorf("Normalize(%q) says that it is not a registry, and callers repeat the text of that", s)
			}
			if user, _, ok := strings.Cut(s, "@"); ok && len(user) > 20 && strings.Contains(err.Error(), user) {
				t.Errorf("Normalize(%q) repeats user info: %v", s, err)
			}
			return
		}
		again, err := Normalize(n.String())
		if err != nil || again != n {
			t.Errorf("Normalize(%q) = %+v, and of that %+v, %v", s, n, again, err)
		}
		if p, err := ParsePattern(n.String()); (err != nil || !p.Match(n)) && !strings.Contains(n.Path, ":") { // a pattern has no tag
			t.Errorf("the pattern of %+v is %v, %v and does not match it", n, p, err)
		}
	})
}
