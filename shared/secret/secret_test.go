package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
)

const canary = "s3cr3t-c4n4ry"

func TestValueIsNeverPrinted(t *testing.T) {
	v := New(canary)
	type inner struct{ hidden Value }
	type outer struct {
		Shown  Value
		inner  inner
		Ptr    *Value
		Map    map[string]Value
		List   []Value
		hidden any
	}
	o := outer{Shown: v, inner: inner{v}, Ptr: &v, Map: map[string]Value{"k": v}, List: []Value{v}, hidden: v}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p", "%10.3s"} {
		for _, arg := range []any{v, &v, o, &o, inner{v}, []any{v}, map[string]any{"a": v}} {
			if got := fmt.Sprintf(verb, arg); strings.Contains(got, canary) || strings.Contains(got, fmt.Sprintf("%x", canary)) {
				t.Errorf("Sprintf(%q, %T) shows the value: %s", verb, arg, got)
			}
		}
	}
	if got := fmt.Sprint(v); got != redacted {
		t.Errorf("Sprint = %q, want %q", got, redacted)
	}
	var buf bytes.Buffer
	slog.New(slog.NewJSONHandler(&buf, nil)).Info("m", "v", v, "o", o)
	slog.New(slog.NewTextHandler(&buf, nil)).Info("m", "v", v, "o", o)
	j, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	buf.Write(j)
	fmt.Fprint(&buf, fmt.Errorf("wrap: %v", v), errors.Join(fmt.Errorf("%s", v)))
	if strings.Contains(buf.String(), canary) {
		t.Errorf("the value is in %s", buf.String())
	}
	if v.Reveal() != canary {
		t.Errorf("Reveal = %q", v.Reveal())
	}
}

func TestValueEqual(t *testing.T) {
	for _, c := range []struct {
		a, b Value
		want bool
	}{
		{New("a"), New("a"), true},
		{New("a"), New("b"), false},
		{New("a"), New("ab"), false},
		{Value{}, New(""), true},
	} {
		if got := c.a.Equal(c.b); got != c.want {
			t.Errorf("Equal(%q, %q) = %v, want %v", c.a.Reveal(), c.b.Reveal(), got, c.want)
		}
	}
	if !(Value{}).IsEmpty() || !New("").IsEmpty() || New("x").IsEmpty() {
		t.Error("IsEmpty is wrong")
	}
}

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"https://user:pw@h.example:8088/p/a?token=x#f": "https://h.example:8088/p/a",
		"https://h.example/":                           "https://h.example/",
		"http://[::1":                                  "[unparsable URL]",
	} {
		if got := RedactURL(in); got != want {
			t.Errorf("RedactURL(%q) = %q, want %q", in, got, want)
		}
	}
	inner := &url.Error{Op: "Get", URL: "https://h.example/?k=" + canary, Err: errors.New("refused")}
	err := RedactError(fmt.Errorf("outer: %w", &url.Error{Op: "Post", URL: "https://u:" + canary + "@h.example/", Err: inner}))
	if strings.Contains(err.Error(), canary) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("RedactError = %v", err)
	}
	if plain := errors.New("x"); !errors.Is(RedactError(plain), plain) {
		t.Error("an error without URL has changed")
	}
}
