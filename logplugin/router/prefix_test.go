package router_test

import (
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/secret"
)

func TestPairs(t *testing.T) {
	for text, want := range map[string][]router.Pair{
		"a=1":           {{"a", "1"}},
		"a=1,b=2=3":     {{"a", "1"}, {"b", "2=3"}},
		` a = 1 , b=`:   {{"a", "1"}, {"b", ""}},
		`a=1\,2,b=\\,c`: nil,
		`a=1\,2,b=\\`:   {{"a", "1,2"}, {"b", `\`}},
		`a=C:\dir`:      {{"a", `C:\dir`}},
		"":              nil, ",": nil, "a": nil, "=1": nil, "a=1,": nil, "a=1,a=2": nil,
	} {
		got, err := router.Pairs(text)
		if (err != nil) != (want == nil) || err == nil && router.JoinPairs(got) != router.JoinPairs(want) || len(got) != len(want) {
			t.Errorf("Pairs(%q) = %q, %v; want %q", text, got, err, want)
			continue
		}
		again, err := router.Pairs(router.JoinPairs(got))
		if want != nil && (err != nil || router.JoinPairs(again) != router.JoinPairs(got)) {
			t.Errorf("Pairs(%q), joined and read again: %q, %v", text, again, err)
		}
	}
}

func TestCut(t *testing.T) {
	const most = 100
	for name, line := range map[string]string{
		"short": "x", "empty": "", "as long as may be": strings.Repeat("x", most), "longer": strings.Repeat("x", most+1),
		"of two bytes": strings.Repeat("é", most), "of four": "x" + strings.Repeat("😀", most), "bad": strings.Repeat("\x80", most*2),
	} {
		head, mark := router.Cut([]byte(line), most)
		if fits := len(line) <= most; (mark == "") != fits || len(head)+len(mark) > most || !strings.HasPrefix(line, string(head)) || fits && string(head) != line {
			t.Errorf("%s: %q and %q", name, head, mark)
		}
		if utf8.ValidString(line) && !utf8.Valid(head) {
			t.Errorf("%s: a character is cut in two: %q", name, head)
		}
		if mark != "" && len(head) < most-len(router.CutMark)-utf8.UTFMax {
			t.Errorf("%s: %d bytes are left", name, len(head))
		}
	}
}

func TestCheckPlaintext(t *testing.T) {
	for _, c := range []struct {
		address, allow, key string
		want                bool
	}{
		{"https://h.example", "", "k", true}, {"http://h.example", "", "", true}, {"http://h.example", "", "k", false}, {"http://h.example", "true", "k", true},
		{"http://127.0.0.1:1", "", "k", true}, {"http://[::1]", "", "k", true}, {"http://localhost", "", "k", true}, {"http://LocalHost.:1", "", "k", true},
		{"http://a.localhost", "", "k", true}, {"http://10.0.0.1", "", "k", false}, {"http://localhost.example.com", "", "k", false}, {"http://127.0.0.1.example.com", "", "k", false},
		{"http://[::ffff:127.0.0.1]", "", "k", true}, {"http://0.0.0.0", "", "k", false},
	} {
		plain := map[string]string{"x-url": c.address}
		if c.allow != "" {
			plain["x-allow-plaintext"] = c.allow
		}
		if c.key != "" {
			plain["x-key"] = c.key
		}
		v := router.Options{Plain: plain}.Unresolved()
		a := v.Address(router.AddressForm{Option: "x-url", Ports: map[string]string{"http": "80", "https": "443"}})
		v.CheckPlaintext("x", a, "x-key")
		if (v.Err() == nil) != c.want {
			t.Errorf("%+v: %v", c, v.Err())
		}
	}
}

func TestLogin(t *testing.T) {
	l := router.Login{User: "x-user", Password: "x-password", Token: "x-token"}
	for _, c := range []struct{ user, password, token, want string }{
		{"", "", "", ""}, {"u", "p", "", "Basic dTpw"}, {"", "", "t", "Bearer t"}, {"u", "", "", "error"}, {"", "p", "", "error"}, {"u", "p", "t", "error"},
		{"u:", "p", "", "error"}, {"", "", "a b", "error"}, {"u", `{"a":"b"}`, "", "error"}, {"u", "with blank", "", "Basic dTp3aXRoIGJsYW5r"},
	} {
		o := router.Options{Plain: map[string]string{}}
		for name, value := range map[string]string{"x-user": c.user, "x-password": c.password, "x-token": c.token} {
			if value != "" {
				o.Plain[name] = value
			}
		}
		v := o.Unresolved()
		l.Check(v)
		h := http.Header{}
		if l.Set(h, v); v.Err() != nil {
			h.Set("Authorization", "error")
		}
		if got := h.Get("Authorization"); got != c.want {
			t.Errorf("%+v: %q, %v", c, got, v.Err())
		}
	}
}

func TestRename(t *testing.T) {
	names := map[string]string{"old": "new"}
	o := router.Options{Plain: map[string]string{"old": "1", "other": "2"}}
	got, err := o.Rename(names)
	if err != nil || got.Plain["new"] != "1" || got.Plain["other"] != "2" || len(got.Plain) != 2 || o.Plain["old"] != "1" {
		t.Errorf("%v, %v; the first is %v", got.Plain, err, o.Plain)
	}
	for _, o := range []router.Options{
		{Plain: map[string]string{"old": "1", "new": "1"}},
		{Plain: map[string]string{"old": "1"}, Secrets: map[string]secret.Source{"new": routertest.NewSource("x")}},
		{Plain: map[string]string{"new": "1"}, Secrets: map[string]secret.Source{"old": routertest.NewSource("x")}},
	} {
		if _, err := o.Rename(names); err == nil {
			t.Errorf("%v: both are taken", o.Plain)
		}
	}
	got, err = router.Options{Secrets: map[string]secret.Source{"old": routertest.NewSource("x")}}.Rename(names)
	if err != nil || got.Secrets["new"] == nil || len(got.Secrets) != 1 {
		t.Errorf("%v, %v", got.Secrets, err)
	}
}
