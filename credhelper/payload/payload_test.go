package payload

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/secretref/secretref/shared/ecs"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/secret"
)

const host = "registry.example.com"

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func auths(host, entry string) string { return `{"auths":{"` + host + `":` + entry + `}}` }

func TestParse(t *testing.T) {
	long := strings.Repeat("p", MaxBytes-len(`{"username":"u","password":""}`))
	keyFile := "{\n  \"type\": \"service_account\",\n  \"private_key\": \"k\"\n}"
	for name, c := range map[string]struct {
		text, host, username string
		wantUser, wantSecret string
	}{
		"ECS":                          {`{"username":"u","password":"p"}`, host, "", "u", "p"},
		"blanks around the object":     {" \n{\"username\":\"u\",\"password\":\"p\"}\n", host, "", "u", "p"},
		"same key twice, last wins":    {`{"username":"u","password":"old","password":"p"}`, host, "", "u", "p"},
		"password with NUL, newline":   {`{"username":"u","password":"a\u0000b\nc"}`, host, "", "u", "a\x00b\nc"},
		"password with colon, quotes":  {`{"username":"u","password":"a:b\"c\\d"}`, host, "", "u", `a:b"c\d`},
		"64 KiB":                       {`{"username":"u","password":"` + long + `"}`, host, "", "u", long},
		"pull-through cache":           {`{"username":"u","accessToken":"t"}`, host, "", "u", "t"},
		"accessToken in another case":  {`{"Username":"u","ACCESSTOKEN":"t"}`, host, "", "u", "t"},
		"null accessToken is absent":   {`{"username":"u","password":"p","accessToken":null}`, host, "", "u", "p"},
		"token username stays":         {`{"username":"<token>","password":"t"}`, host, "", "<token>", "t"},
		"identity token":               {`{"identitytoken":"t"}`, host, "", "<token>", "t"},
		"identity token and its name":  {`{"username":"<token>","identityToken":"t"}`, host, "", "<token>", "t"},
		"auths, auth":                  {auths(host, `{"auth":"`+b64("u:p:q")+`"}`), host, "", "u", "p:q"},
		"auths, username and password": {auths(host, `{"username":"u","password":"p"}`), host, "", "u", "p"},
		"auths, all three agree":       {auths(host, `{"username":"u","password":"p","auth":"`+b64("u:p")+`"}`), host, "", "u", "p"},
		"auths, empty auth":            {auths(host, `{"username":"u","password":"p","auth":""}`), host, "", "u", "p"},
		"auths, identity token":        {auths(host, `{"auth":"`+b64("00000000-0000:")+`","identitytoken":"t"}`), host, "", "<token>", "t"},
		"auths, Docker Hub's key":      {auths("https://index.docker.io/v1/", `{"auth":"`+b64("u:p")+`"}`), "docker.io", "", "u", "p"},
		"auths, scheme and case":       {auths("https://Registry.Example.com", `{"auth":"`+b64("u:p")+`"}`), host, "", "u", "p"},
		"auths, port":                  {auths(host+":5000", `{"auth":"`+b64("u:p")+`"}`), host + ":5000", "", "u", "p"},
		"auths, other keys ignored":    {`{"credsStore":"x","auths":{"` + host + `":{"auth":"` + b64("u:p") + `","email":"e"}}}`, host, "", "u", "p"},
		"auths, another is garbage":    {`{"auths":{"other.example":5,"` + host + `":{"auth":"` + b64("u:p") + `"}}}`, host, "", "u", "p"},
		"auths, two equal entries": {
			`{"auths":{"` + host + `":{"auth":"` + b64("u:p") + `"},"https://` + host + `":{"username":"u","password":"p"}}}`, host, "", "u", "p",
		},
		"bare password":                   {"s3cret", host, "u", "u", "s3cret"},
		"bare, newline at its end":        {"s3cret\n", host, "u", "u", "s3cret"},
		"bare, CRLF at its end":           {"s3cret\r\n", host, "u", "u", "s3cret"},
		"bare, only one line ending":      {"s3cret\n\n", host, "u", "u", "s3cret\n"},
		"bare, blanks stay":               {" s3 cret ", host, "u", "u", " s3 cret "},
		"bare, lone CR stays":             {"s3cret\r", host, "u", "u", "s3cret\r"},
		"bare, inner newline stays":       {"a\nb", host, "u", "u", "a\nb"},
		"bare, begins like JSON":          {`{"not json`, host, "u", "u", `{"not json`},
		"bare, a JSON string":             {`"p"`, host, "u", "u", `"p"`},
		"bare, a number":                  {`12345`, host, "u", "u", `12345`},
		"key file":                        {keyFile + "\n", host, "_json_key", "_json_key", keyFile},
		"bare identity token":             {"t", host, "<token>", "<token>", "t"},
		"username and JSON password":      {`{"password":"p"}`, host, "u", "u", "p"},
		"username and JSON token":         {`{"accessToken":"p","x":1}`, host, "u", "u", "p"},
		"username twice, the same":        {`{"username":"u","password":"p"}`, host, "u", "u", "p"},
		"username and auths, the same":    {auths(host, `{"auth":"`+b64("u:p")+`"}`), host, "u", "u", "p"},
		"username and identity, the same": {`{"identitytoken":"t"}`, host, "<token>", "<token>", "t"},
	} {
		got, err := Parse(secret.New(c.text), c.host, c.username)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got.Username != c.wantUser || got.Secret.Reveal() != c.wantSecret {
			t.Errorf("%s: got %q, %.80q, want %q, %.80q", name, got.Username, got.Secret.Reveal(), c.wantUser, c.wantSecret)
		}
	}
}

// v stands where a value stands: no error may repeat it.
const v = "V4LU3"

func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		text, username string
		want           string // in the error
	}{
		"empty":                       {"", "", "is empty"},
		"empty with username":         {"", "u", "is empty"},
		"only a newline":              {"\n", "u", "empty line"},
		"over 64 KiB":                 {strings.Repeat("p", MaxBytes+1), "u", "65537 bytes"},
		"byte order mark":             {"\ufeff" + `{"username":"` + v + `"}`, "", "byte order mark"},
		"byte order mark, bare":       {"\ufeff" + v, "u", "byte order mark"},
		"not UTF-8":                   {"\xff\xfe" + v, "u", "not UTF-8"},
		"bare without username":       {v, "", "set username in the registry's rule"},
		"JSON string":                 {`"` + v + `"`, "", "not a JSON object"},
		"JSON array":                  {`["` + v + `"]`, "", "not a JSON object"},
		"cut JSON":                    {`{"username":"u","password":"` + v, "", "not a JSON object"},
		"two JSON objects":            {`{"username":"u","password":"` + v + `"}{}`, "", "not a JSON object"},
		"no password":                 {`{"username":"` + v + `","pass":"` + v + `"}`, "", `no "password"; its keys are "username", "pass"`},
		"no username":                 {`{"user":"` + v + `","password":"` + v + `"}`, "", `no "username"; its keys are "user", "password"`},
		"no keys":                     {`{}`, "", "it has no keys"},
		"many keys":                   {`{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1}`, "", `"h" and 1 more`},
		"a key of absurd length":      {`{"` + strings.Repeat(v, 50) + `":1}`, "", "one of 250 bytes"},
		"username a number":           {`{"username":1,"password":"` + v + `"}`, "", `"username" in the secret is not a JSON string`},
		"password an object":          {`{"username":"u","password":{"` + v + `":1}}`, "", `"password" in the secret is not a JSON string`},
		"password null":               {`{"username":"u","password":null}`, "", `no "password"`},
		"password and accessToken":    {`{"username":"u","password":"` + v + `","accessToken":"` + v + `"}`, "", `both "password" and "accessToken"`},
		"two spellings of username":   {`{"username":"` + v + `","USERNAME":"` + v + `","password":"` + v + `"}`, "", `two spellings, "username", "USERNAME"`},
		"two spellings of password":   {`{"username":"u","Password":"` + v + `","password":"` + v + `"}`, "", `two spellings, "Password", "password"`},
		"two spellings, one null":     {`{"username":"u","Password":null,"password":"` + v + `"}`, "", "two spellings"},
		"identitytoken and password":  {`{"identitytoken":"` + v + `","password":"` + v + `"}`, "", `both "identitytoken" and "password"`},
		"identitytoken and username":  {`{"identitytoken":"` + v + `","username":"` + v + `"}`, "", `both "identitytoken" and "username"`},
		"identitytoken empty":         {`{"identitytoken":""}`, "", `"identitytoken" in the secret is empty`},
		"auths and password":          {`{"auths":{},"password":"` + v + `"}`, "", `both "auths" and "password"`},
		"auths and identitytoken":     {`{"auths":{},"identitytoken":"` + v + `"}`, "", `both "auths" and "identitytoken"`},
		"auths a string":              {`{"auths":"` + v + `"}`, "", `"auths" is not a JSON object`},
		"auths empty":                 {`{"auths":{}}`, "", "none for another host"},
		"auths without the host":      {auths("b.example", `{"auth":"`+b64("u:"+v)+`"}`), "", `no entry for registry.example.com; it has "b.example"`},
		"auths for a namespace":       {auths(host+"/team", `{"auth":"`+b64("u:"+v)+`"}`), "", `it has "registry.example.com/team"`},
		"auths, another port":         {auths(host+":5000", `{"auth":"`+b64("u:"+v)+`"}`), "", `it has "registry.example.com:5000"`},
		"auths, entry a string":       {auths(host, `"`+v+`"`), "", "not a JSON object"},
		"auths, entry empty":          {auths(host, `{}`), "", `no "username"`},
		"auths, not base64":           {auths(host, `{"auth":"`+v+`!"}`), "", "not base64"},
		"auths, no colon":             {auths(host, `{"auth":"`+b64(v)+`"}`), "", "no colon"},
		"auths, no user":              {auths(host, `{"auth":"`+b64(":"+v)+`"}`), "", "no username or no password"},
		"auths, no password":          {auths(host, `{"auth":"`+b64(v+":")+`"}`), "", "no username or no password"},
		"auths, user contradicts":     {auths(host, `{"auth":"`+b64("u:"+v)+`","username":"x"}`), "", `"auth" and "username"`},
		"auths, password contradicts": {auths(host, `{"auth":"`+b64("u:"+v)+`","password":"x`+v+`"}`), "", `"auth" and "password"`},
		"auths, token and password":   {auths(host, `{"auth":"`+b64("u:"+v)+`","identitytoken":"`+v+`"}`), "", `both "identitytoken" and "password"`},
		"auths, two spellings":        {auths(host, `{"auth":"`+b64("u:"+v)+`","Auth":""}`), "", "two spellings"},
		"auths, two that differ": {
			`{"auths":{"` + host + `":{"auth":"` + b64("u:"+v) + `"},"https://` + host + `":{"auth":"` + b64("u:x"+v) + `"}}}`, "", "two entries for registry.example.com",
		},
		"another username":              {`{"username":"` + v + `","password":"` + v + `"}`, "u", `another username than the rule, which has "u"`},
		"another username in auths":     {auths(host, `{"auth":"`+b64(v+":"+v)+`"}`), "u", "another username than the rule"},
		"username and identity token":   {`{"identitytoken":"` + v + `"}`, "u", "another username than the rule"},
		"username and empty password":   {`{"password":""}`, "u", `"password" in the secret is empty`},
		"username and numeric password": {`{"password":5}`, "u", `"password" in the secret is not a JSON string`},
		"username twice, no password":   {`{"username":"u"}`, "u", `no "password"`},
	} {
		got, err := Parse(secret.New(c.text), host, c.username)
		if err == nil {
			t.Errorf("%s: got %q, want an error", name, got.Username)
			continue
		}
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != fault.BadValue || f.Hint == "" {
			t.Errorf("%s: %#v, want a fault.Error of kind BadValue with a hint", name, err)
		}
		if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), host) {
			t.Errorf("%s: %v\nwant %q and the host in it", name, err, c.want)
		}
		if strings.Contains(err.Error(), v) || strings.Contains(err.Error(), b64("u:"+v)) {
			t.Errorf("%s: the error shows a value: %v", name, err)
		}
		if got != (Credentials{}) {
			t.Errorf("%s: credentials beside an error", name)
		}
	}
}

// ecsWords are the agent's messages and what ours say instead.
var ecsWords = map[string]string{
	"asm fetching username: AuthorizationData is malformed, empty field": `"username"`,
	"asm fetching username": `"username"`,
	"asm fetching password: AuthorizationData is malformed, empty field": `"password"`,
	"asm fetching authorization data: empty secrets value":               "is empty",
	"invalid schema": "is not a JSON string|byte order mark",
}

// TestECS runs the cases of the ECS agent's own tests and code that are about the shape of the secret.
func TestECS(t *testing.T) {
	ran := 0
	for _, c := range ecs.Cases(ecs.RepositoryCredentials, "rc-") {
		var input, stored struct{ SecretString *string }
		var expect struct {
			OK                 bool
			Username, Password string
			ErrorContains      []string `json:"error_contains"`
		}
		if err := c.Read(&input, &stored, &expect); err != nil {
			t.Fatalf("%s: %v", c.ID, err)
		}
		if c.ID == "rc-suffix-not-parsed" || c.ID == "rc-precedence-asm" || c.ID == "rc-dedupe-per-task" {
			continue // not about the shape: shared/resolve runs them
		}
		ran++
		var v secret.Value
		if stored.SecretString != nil {
			v = secret.New(*stored.SecretString)
		}
		got, err := Parse(v, "r.example", "")
		if ecs.Differs(c.ID) {
			if (err == nil) == expect.OK {
				t.Errorf("%s: the same as ECS, but the table of differences names it", c.ID)
			}
			continue
		}
		if (err == nil) != expect.OK {
			t.Errorf("%s: error %v, want ok %v", c.ID, err, expect.OK)
			continue
		}
		if got.Username != expect.Username || got.Secret.Reveal() != expect.Password {
			t.Errorf("%s: got %q, %q, want %q, %q", c.ID, got.Username, got.Secret.Reveal(), expect.Username, expect.Password)
		}
		for _, w := range expect.ErrorContains {
			ours, known := ecsWords[w]
			said := false
			for alt := range strings.SplitSeq(ours, "|") {
				said = said || strings.Contains(err.Error(), alt)
			}
			if !known || !said {
				t.Errorf("%s: %v\nwant %q in it, for ECS's %q", c.ID, err, ours, w)
			}
		}
	}
	if ran != 13 {
		t.Errorf("%d cases, want 13", ran)
	}
}

// FuzzParse reads anything, and then the same with a canary in front of every value: no error may show it.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"username":"u","password":"p"}`, `{"username":"u","accessToken":"t"}`, `{"identitytoken":"t"}`, "bare\n", "",
		`{"USERNAME":"u","username":null}`, `{"username":1,"password":{"a":["b"]}}`, auths(host, `{"auth":"dTpw"}`),
		auths(host, `{"username":"u","password":"p","identitytoken":""}`), "\ufeff{}", `{"auths":[{"a":"b"}]}`, `{"a`,
	} {
		f.Add(s, "")
		f.Add(s, "u")
	}
	f.Fuzz(func(t *testing.T, text, username string) {
		got, err := Parse(secret.New(text), host, username)
		if err == nil && (got.Username == "" || got.Secret.IsEmpty()) {
			t.Fatalf("Parse(%q, %q) gives an empty username or secret", text, username)
		}
		if err == nil && username != "" && got.Username != username {
			t.Fatalf("Parse(%q, %q) gives the username %q", text, username, got.Username)
		}

		const canary = "c4n4ry-1f9b"
		marked := canary + text
		var tree map[string]any
		if json.Unmarshal([]byte(text), &tree) == nil && tree != nil {
			b, err := json.Marshal(mark(tree, canary))
			if err != nil {
				t.Fatal(err)
			}
			marked = string(b)
		}
		if _, err := Parse(secret.New(marked), host, username); err != nil && strings.Contains(err.Error(), canary) {
			t.Fatalf("Parse(%q, %q): the error shows a value: %v", marked, username, err)
		}
	})
}

// mark puts canary in front of every string value, in "auth" inside of the base64.
func mark(v any, canary string) any {
	switch v := v.(type) {
	case string:
		if b, err := base64.StdEncoding.DecodeString(v); err == nil && len(b) > 0 {
			return b64(canary + string(b))
		}
		return canary + v
	case []any:
		for i := range v {
			v[i] = mark(v[i], canary)
		}
	case map[string]any:
		for k := range v {
			v[k] = mark(v[k], canary)
		}
	}
	return v
}
