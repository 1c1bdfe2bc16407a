package payload

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/secretref/secretref/shared/secret"
	"github.com/secretref/secretref/shared/secretref"
)

const (
	hub      = "docker.io"
	azure    = "00000000-0000-0000-0000-000000000000"
	notFound = "no entry for "
)

// shape is one secret that people have: its text, the registry that is asked for, the username of the rule, and what comes of it.
type shape struct{ text, host, username, wantUser, wantSecret, wantError string }

// shapes are the cases of testdata/registries.json with values in them.
var shapes = map[string][]shape{
	"registry-secret-002": {{"u:p", host, "", "u", "p", ""}, {`{"username":"u","password":"p"}`, host, "", "u", "p", ""}},
	"registry-secret-004": {{`{"username":"u","password":"p"}`, host, "", "u", "p", ""}},
	"registry-secret-006": {{`{"Username":"u","Password":"p"}`, host, "", "u", "p", ""}},
	"registry-secret-008": {{`{"username":"u","token":"t"}`, host, "", "u", "t", ""}, {`{"token":"t"}`, host, "u", "u", "t", ""}},
	"registry-secret-010": {{`{"username":"u","password":"p","url":"https://registry.example.com"}`, host, "", "u", "p", ""}},
	"registry-secret-012": {{"opaque", host, "", "", "", "set username in the registry's rule"}, {"opaque", host, "u", "u", "opaque", ""}},
	"registry-secret-014": {{"opaque", host, "u", "u", "opaque", ""}, {`{"username":"u","password":"p"}`, host, "u", "u", "p", ""}},
	"registry-secret-016": {{`{"username":"u","accessToken":"t"}`, "ghcr.io", "", "u", "t", ""}},
	"registry-secret-018": {{`{"username":"u","accessToken":"t"}`, "cgr.dev", "", "u", "t", ""}},
	"registry-secret-020": {{`{"username":"u","accessToken":"t"}`, host, "", "u", "t", ""}},
	"registry-secret-022": {{auths("https://index.docker.io/v1/", `{"auth":"`+b64("u:p")+`"}`), hub, "", "u", "p", ""}},
	"registry-secret-024": {{"AWS:t", host, "AWS", "AWS", "t", ""}, {"AWS:t", host, "", "AWS", "t", ""}},
	"registry-secret-026": {
		{`{"registry.example.com":{"username":"u","password":"p","email":""}}`, host, "", "u", "p", ""},
		{`{"registry.example.com":{"username":"u","password":"p","email":""}}`, host, "u", "u", "p", ""},
		{`{"registry.example.com":{"username":"u","password":"p","email":""}}`, "b.example", "", "", "", notFound + `b.example; it has "registry.example.com"`},
	},
	"registry-secret-028": {{`{"https://index.docker.io/v1/":{"auth":"` + b64("u:p") + `","email":"e"}}`, hub, "", "u", "p", ""}},
	"registry-secret-030": {
		{`{"quay.io":{"auth":"` + b64("u:p") + `","email":"e"}}`, "quay.io", "", "u", "p", ""},
		{`{"https://quay.io":{"auth":"` + b64("u:p") + `"}}`, "quay.io", "", "u", "p", ""},
	},
	"registry-secret-032": {{auths("https://index.docker.io/v1/", `{"username":"u","password":"p","email":"e","auth":"`+b64("u:p")+`"}`), hub, "", "u", "p", ""}},
	"registry-secret-034": {{`{"registry-1.docker.io":{"username":"u","password":"p"}}`, hub, "", "u", "p", ""}},
	"registry-secret-036": {
		{`{"username":"u","password":"a\n\\\"b","serveraddress":"s","identitytoken":"","registrytoken":""}`, host, "", "u", "a\n\\\"b", ""},
		{`{"username":"u","password":"p","identitytoken":"t"}`, host, "", "", "", `both "identitytoken" and "password"`},
	},

	"docker-config-002": {{`{"auths":{}}`, host, "", "", "", "none for another host"}},
	"docker-config-020": {{`{"auths":{"public.ecr.aws":{}},"credsStore":"desktop"}`, "public.ecr.aws", "", "", "", `no "username"`}},
	"docker-config-024": {{auths("https://registry-1.docker.io", `{"auth":"dXNlcjpSRURBQ1RFRA=="}`), hub, "", "user", "REDACTED", ""}},
	"docker-config-026": {{auths("core.harbor.domain", `{"registrytoken":"t"}`), "core.harbor.domain", "", "", "", `its keys are "registrytoken"`}},
	"docker-config-028": {{auths("https://registry.example", `"t"`), "registry.example", "", "", "", "not a JSON object"}},
	"docker-config-032": {{auths("registry.test", `{"identitytoken":"t"}`), "registry.test", "", TokenUsername, "t", ""}},
	"docker-config-040": {
		{auths("myregistry.azurecr.io", `{"auth":"`+b64(azure+":")+`","identitytoken":"t"}`), "myregistry.azurecr.io", "", TokenUsername, "t", ""},
		{`{"username":"` + azure + `","password":"","identitytoken":"t"}`, "myregistry.azurecr.io", "", TokenUsername, "t", ""},
	},
	"docker-config-042": {
		{auths("ghcr.io", `{"username":"user","password":"REDACTED","auth":"dXNlcjpSRURBQ1RFRA=="}`), "ghcr.io", "", "user", "REDACTED", ""},
		{auths("ghcr.io", `{"username":"other","password":"REDACTED","auth":"dXNlcjpSRURBQ1RFRA=="}`), "ghcr.io", "", "", "", `"auth" and "username"`},
	},
	"docker-config-044": {{auths("quay.example.com:8443", `{"auth":"dXNlcjpSRURBQ1RFRA=="}`), "quay.example.com:8443", "", "user", "REDACTED", ""}},
	"docker-config-046": {{auths(host, `{"auth":"dXNlcjpSRURBQ1RFRA==","email":"you@example.com"}`), host, "", "user", "REDACTED", ""}},
}

// withoutSecret are the cases that are about which helper a client asks: no text of a secret has their shape.
const withoutSecret = " docker-config-004 docker-config-006 docker-config-008 docker-config-010 docker-config-012 docker-config-014 docker-config-016" +
	" docker-config-018 docker-config-022 docker-config-030 docker-config-034 docker-config-036 docker-config-038 "

func TestShapes(t *testing.T) {
	text, err := os.ReadFile("testdata/registries.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		ID, Kind             string
		CredentialsParameter string
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	parameters := map[string]string{ // what the error says; "" for none
		"credentials-parameter-002": "", "credentials-parameter-004": "placeholder|region|account", "credentials-parameter-006": "empty",
		"credentials-parameter-008": "", "credentials-parameter-010": "secrets::privaterepo|:",
	}
	for _, c := range cases {
		if want, ok := parameters[c.ID]; ok {
			_, err := secretref.ParseCredentialsParameter(c.CredentialsParameter)
			if (err == nil) != (want == "") {
				t.Errorf("%s: %v, want an error: %v", c.ID, err, want != "")
			}
			continue
		}
		if len(shapes[c.ID]) == 0 && !strings.Contains(withoutSecret, " "+c.ID+" ") {
			t.Errorf("%s: no outcome is written down", c.ID)
		}
		for _, s := range shapes[c.ID] {
			s.test(t, c.ID)
		}
	}
}

func (s shape) test(t *testing.T, name string) {
	t.Helper()
	got, err := Parse(secret.New(s.text), s.host, s.username)
	switch {
	case s.wantError != "" && (err == nil || !strings.Contains(err.Error(), s.wantError)):
		t.Errorf("%s: Parse(%q): %v, want an error with %q", name, s.text, err, s.wantError)
	case s.wantError == "" && (err != nil || got.Username != s.wantUser || got.Secret.Reveal() != s.wantSecret):
		t.Errorf("%s: Parse(%q) = %q, %q, %v, want %q, %q", name, s.text, got.Username, got.Secret.Reveal(), err, s.wantUser, s.wantSecret)
	}
}

// An empty field is an absent one, and what can be read in two ways is an error that names the keys.
func TestMoreShapes(t *testing.T) {
	for name, s := range map[string]shape{
		"identity token empty":             {`{"username":"u","password":"p","identitytoken":""}`, host, "", "u", "p", ""},
		"access token empty":               {`{"username":"u","password":"p","accessToken":"","token":""}`, host, "", "u", "p", ""},
		"password empty, token":            {`{"username":"u","password":"","token":"t"}`, host, "", "u", "t", ""},
		"username empty, the rule has one": {`{"username":"","password":"p"}`, host, "u", "u", "p", ""},
		"username empty":                   {`{"username":"","password":"p"}`, host, "", "", "", `"username" in the secret is empty`},
		"auths empty text":                 {`{"username":"u","password":"p","auths":""}`, host, "", "u", "p", ""},
		"two filled":                       {`{"username":"u","password":"` + v + `","token":"` + v + `"}`, host, "", "", "", `both "password" and "token"`},
		"two tokens":                       {`{"username":"u","accessToken":"` + v + `","token":"` + v + `"}`, host, "", "", "", `both "accessToken" and "token"`},
		"token and identity token":         {`{"token":"` + v + `","identitytoken":"` + v + `"}`, host, "", "", "", `both "identitytoken" and "token"`},
		"fields and this host":             {`{"username":"u","password":"` + v + `","https://registry.example.com":{"auth":"x"}}`, host, "", "", "", `both "username" and "https://registry.example.com"`},
		"fields and another object":        {`{"username":"u","password":"p","meta":{"username":"x"}}`, host, "", "u", "p", ""},
		"one string, line ending":          {"u:p:q\n", host, "", "u", "p:q", ""},
		"one string, an ARN":               {"arn:aws:secretsmanager:eu-west-1:111122223333:secret:" + v, host, "", "", "", "set username"},
		"one string, a URL":                {"https://" + v, host, "", "", "", "set username"},
		"one string, YAML":                 {"username: " + v, host, "", "", "", "set username"},
		"one string, several lines":        {"a:" + v + "\nb:" + v, host, "", "", "", "set username"},
		"one string, cut JSON":             {`{"username":"u","password":"` + v, host, "", "", "", "set username"},
		"one string, no password":          {"u:", host, "", "", "", "set username"},
		"one string, no user":              {":" + v, host, "", "", "", "set username"},
		"a password with a colon":          {"a:b", host, "u", "u", "a:b", ""},
		"JSON password, line ending":       {`{"username":"u","password":"p\r\n"}`, host, "", "u", "p", ""},
		"auth, line ending":                {auths(host, `{"auth":"`+b64("u:p\n")+`"}`), host, "", "u", "p", ""},
		"identity token, line ending":      {`{"identitytoken":"t\n"}`, host, "", TokenUsername, "t", ""},
		"only a line ending":               {`{"username":"u","password":"\n"}`, host, "", "", "", `"password" in the secret is an empty line`},
		"two line endings":                 {`{"username":"u","password":"p\n\n"}`, host, "", "u", "p\n", ""},
		"a map of other things":            {`{"registry.example.com":"` + v + `"}`, host, "", "", "", `no "username"`},
		"a key file with a rule":           {`{"type":"service_account","nested":{"private_key":"k"}}`, host, "_json_key", "_json_key", `{"type":"service_account","nested":{"private_key":"k"}}`, ""},
	} {
		s.test(t, name)
		if _, err := Parse(secret.New(s.text), s.host, s.username); err != nil && strings.Contains(err.Error(), v) {
			t.Errorf("%s: the error shows a value: %v", name, err)
		}
	}
}

// LineEnding says that one was dropped, for check.
func TestLineEnding(t *testing.T) {
	for text, want := range map[string]bool{
		"u:p\n": true, "u:p": false, `{"username":"u","password":"p\n"}`: true, `{"username":"u","password":"p"}` + "\n": false,
		auths(host, `{"username":"u","password":"p\n"}`): true, auths(host, `{"identitytoken":"t\r\n"}`): true, `{"username":"u","token":"t\r"}`: false,
	} {
		if got, err := Parse(secret.New(text), host, ""); err != nil || got.LineEnding != want {
			t.Errorf("Parse(%q): LineEnding %v, %v, want %v", text, got.LineEnding, err, want)
		}
	}
}
