package jsontext

import (
	"encoding/json"
	"testing"
)

func TestObject(t *testing.T) {
	for line, want := range map[string][]string{
		`{}`: {}, ` { } `: {}, `{"a":1}`: {`"a"`, `1`}, `{"a" : "x\"y" , "b":[1,{"c":"]"}], "d":{"e":{}} , "f":-1.5e3,"g":null,"h":true}`: {
			`"a"`, `"x\"y"`, `"b"`, `[1,{"c":"]"}]`, `"d"`, `{"e":{}}`, `"f"`, `-1.5e3`, `"g"`, `null`, `"h"`, `true`,
		},
		`{"":""}`: {`""`, `""`}, `{"\\":"\\\""}`: {`"\\"`, `"\\\""`},
		`[]`: nil, `1`: nil, ``: nil, ` `: nil, `{`: nil, `{"a":1} x`: nil, `{"a"}`: nil, `"{}"`: nil, `x{}`: nil,
	} {
		var o Object
		if ok := o.Open([]byte(line)); ok != (want != nil) {
			t.Errorf("Open(%q) = %v", line, ok)
			continue
		}
		got := []string{}
		for want != nil {
			name, value, ok := o.Next()
			if !ok {
				break
			}
			got = append(got, string(name), string(value))
		}
		if len(got) != len(want) {
			t.Errorf("%s: %q, want %q", line, got, want)
			continue
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s: %q, want %q", line, got, want)
			}
		}
	}
}

func TestInt(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "-1": -1, "9223372036854775807": 1<<63 - 1} {
		if n, ok := Int([]byte(text)); !ok || n != want {
			t.Errorf("Int(%s) = %d, %v", text, n, ok)
		}
	}
	for _, text := range []string{"", "1.5", "1e3", "9223372036854775808", "true", "null", `"1"`, "-"} {
		if n, ok := Int([]byte(text)); ok {
			t.Errorf("Int(%s) = %d", text, n)
		}
	}
}

// FuzzObject compares with encoding/json: the members, their order and what their strings say.
func FuzzObject(f *testing.F) {
	for _, line := range []string{`{"a":"\ud83d\ude00\ud800x\u003c","b":[{"c":1}]}`, `{"a":{"b":"}"},"a":2}`, "{\"\xff\":\"\xfe\"}"} {
		f.Add([]byte(line))
	}
	var o Object
	f.Fuzz(func(t *testing.T, line []byte) {
		if !o.Open(line) {
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(line, &want); err != nil {
			t.Fatalf("%q is opened: %v", line, err)
		}
		got := map[string]json.RawMessage{}
		for {
			name, value, ok := o.Next()
			if !ok {
				break
			}
			got[string(AppendUnquoted(nil, name))] = json.RawMessage(value)
		}
		if len(got) != len(want) {
			t.Fatalf("%q: %d members, want %d", line, len(got), len(want))
		}
		for name, value := range want {
			var a, b any
			if json.Unmarshal(value, &a) != nil || json.Unmarshal(got[name], &b) != nil {
				continue // a number that encoding/json cannot hold
			}
			x, _ := json.Marshal(a) // cannot fail
			y, _ := json.Marshal(b)
			if string(x) != string(y) {
				t.Errorf("%q: member %q is %s, want %s", line, name, y, x)
			}
			if text, ok := a.(string); ok && string(AppendUnquoted(nil, got[name])) != text {
				t.Errorf("%q: member %q says %q, want %q", line, name, AppendUnquoted(nil, got[name]), text)
			}
		}
	})
}
