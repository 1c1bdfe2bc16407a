package conffile

import (
	"encoding/json"
	"strings"
	"testing"
)

func keys() Keys { return Keys{Names: []string{"runtimes", "default"}, Tables: []string{"runtimes"}} }

func TestSetAndDrop(t *testing.T) {
	for name, c := range map[string]struct{ before, after, dropped string }{
		"empty":            {"", "{\n\t\"runtimes\": {\n\t\t\"a\": {\"path\": \"/a\"}\n\t}\n}", "{}"},
		"another key":      {"{\n  \"x\": 1.50\n}\n", "{\n  \"x\": 1.50,\n  \"runtimes\": {\n    \"a\": {\"path\": \"/a\"}\n  }\n}\n", "{\n  \"x\": 1.50\n}\n"},
		"another entry":    {`{"runtimes":{"b":{}}}`, `{"runtimes":{"b":{},"a":{"path": "/a"}}}`, `{"runtimes":{"b":{}}}`},
		"another value":    {"{\n \"runtimes\": {\n  \"a\": {\n   \"path\": \"/b\"\n  },\n  \"b\": {}\n }\n}", "{\n \"runtimes\": {\n  \"a\": {\"path\": \"/a\"},\n  \"b\": {}\n }\n}", "{\n \"runtimes\": {\n  \"b\": {}\n }\n}"},
		"as it is":         {`{"runtimes":{"a":{"path": "/a"}}}`, `{"runtimes":{"a":{"path": "/a"}}}`, "{}"},
		"case of the name": {`{"Runtimes":{"b":1}}`, `{"Runtimes":{"b":1,"a":{"path": "/a"}}}`, `{"Runtimes":{"b":1}}`},
	} {
		d, err := Parse([]byte(c.before), keys())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		d.Set("runtimes", "a", json.RawMessage(`{"path": "/a"}`))
		if got := string(d.Text); got != c.after || d.Check() != nil {
			t.Errorf("%s: got %q, want %q (%v)", name, got, c.after, d.Check())
		}
		if value, ok := d.Get("runtimes", "a"); !ok || string(value) != `{"path": "/a"}` {
			t.Errorf("%s: the entry is %s, %v", name, value, ok)
		}
		dropped := d.Drop("runtimes", func(key string, _ json.RawMessage) bool { return key == "a" })
		if got := string(d.Text); got != c.dropped || strings.Join(dropped, " ") != "a" {
			t.Errorf("%s: without %v got %q, want %q", name, dropped, got, c.dropped)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"no JSON":           {"{\n\"x\": c4n4ry}", "not valid JSON at line 2; correct it first"},
		"an array":          {"[1]", "not a JSON object; correct it first"},
		"a byte order mark": {"\ufeff{}", "byte order mark"},
		"a name twice":      {`{"default":"a","Default":"b"}`, `"default" is there 2 times`},
		"a key twice":       {`{"runtimes":{"a":1,"a":2}}`, `runtimes["a"] is there twice`},
		"no table":          {`{"runtimes":["a"]}`, `"runtimes" is not a JSON object`},
	} {
		if _, err := Parse([]byte(c.text), keys()); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "c4n4ry") {
			t.Errorf("%s: Parse(%q) = %v, want %q", name, c.text, err, c.want)
		}
	}
}
