// Package payload reads the text of a secret as registry credentials.
//
// Use it on what Secrets Manager or Parameter Store gave for a rule's credentialsParameter. It takes the JSON object
// that ECS takes ({"username", "password"}), the one of ECR pull-through-cache secrets ({"username", "accessToken"}), the
// same with "token", an identity token ({"identitytoken"}), a Docker config.json ({"auths": {host: ...}}), a .dockercfg or
// ECS_ENGINE_AUTH_DATA ({host: ...}), "username:password" in one line, and, where the rule names the username, a bare
// password. An empty field counts as absent, as Docker and Azure write it.
//
// It promises that an error names only the keys that were found, never a value, a part of the text or a word of the
// JSON parser, which quotes its input. It refuses to choose: two values for one thing are an error.
package payload

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/secret"
)

// MaxBytes is the size up to which a text is read: the limit of Secrets Manager for a SecretString.
const MaxBytes = 64 << 10

// TokenUsername is the username that tells clients that the secret is an identity token, not a password.
const TokenUsername = "<token>"

// Credentials is what a client is given for a registry. Username is TokenUsername when Secret is an identity token.
type Credentials struct {
	Username   string
	Secret     secret.Value
	LineEnding bool // one was dropped from the end of Secret
}

// newCredentials drops a line ending at the end of the password or token. key and what name it in the problem.
func newCredentials(user, password, key, what string) (Credentials, *problem) {
	password, had := secret.CutLineEnding(password)
	if password == "" {
		return Credentials{}, &problem{strconv.Quote(key) + " in " + what + " is an empty line", hintShape}
	}
	return Credentials{user, secret.New(password), had}, nil
}

// Parse reads value as the credentials for host, which is canonical as from registryhost. username is the one that the
// rule names, or "".
//
// With a username, a text that is none of the shapes above is the password itself, byte for byte but for a line ending at
// its end. A JSON key file (username "_json_key") is such a text too. A text that begins with that username and a colon is
// the pair.
//
// Whatever the shape, one line ending at the end of the password is dropped, and LineEnding says so: a value that was
// pasted often has one, no registry wants it, and the login would fail without a word about why.
//
// An error is a *fault.Error of kind BadValue. Its Op names the host; a caller that knows the reference may put it
// there instead.
func Parse(value secret.Value, host, username string) (Credentials, error) {
	c, p := parse(value.Reveal(), host, username)
	if p != nil {
		return Credentials{}, &fault.Error{Kind: fault.BadValue, Op: "read credentials for " + host, Cause: p.cause, Hint: p.hint}
	}
	return c, nil
}

// problem is why a text is refused. It is built from fixed texts, key names, hosts and the rule's username only.
type problem struct{ cause, hint string }

const (
	hintShape = `store JSON {"username": "...", "password": "..."}`
	hintBare  = hintShape + `, or set username in the registry's rule if the secret is just the password`
	hintOne   = "keep one of them"
)

func parse(text, host, username string) (Credentials, *problem) {
	switch {
	case text == "":
		return Credentials{}, &problem{"the secret is empty", hintBare}
	case len(text) > MaxBytes:
		return Credentials{}, &problem{"the secret has " + strconv.Itoa(len(text)) + " bytes, over the limit of 65536", "is it the right one? a registry's password is shorter"}
	case strings.HasPrefix(text, "\ufeff"):
		return Credentials{}, &problem{"the secret begins with a byte order mark", "store it again without one"}
	case !utf8.ValidString(text):
		return Credentials{}, &problem{"the secret is not UTF-8 text", hintBare}
	}

	o, ok := parseObject([]byte(text))
	switch {
	case ok && (o.has(credentialKeys...) || len(o.hosts()) > 0 || username == ""):
		return fromObject(o, host, username)
	case username == "":
		if user, password, ok := pair(text); ok {
			return newCredentials(user, password, "password", "the secret")
		}
		return Credentials{}, &problem{"the secret is not a JSON object, and the rule has no username", hintBare}
	}
	if user, password, ok := pair(text); ok && user == username {
		return newCredentials(user, password, "password", "the secret")
	}
	password, had := secret.CutLineEnding(text)
	if password == "" {
		return Credentials{}, &problem{"the secret is an empty line", hintBare}
	}
	return Credentials{username, secret.New(password), had}, nil
}

// pair splits "username:password" in one line. What may be something else is not a pair: cut JSON, a URL, an ARN, a line of
// YAML, several lines.
func pair(text string) (user, password string, ok bool) {
	user, password, ok = strings.Cut(text, ":")
	line, _ := secret.CutLineEnding(password)
	switch {
	case !ok, user == "", line == "", user == "arn":
		return "", "", false
	case strings.ContainsAny(user, "{}[]\"' \t\r\n"), strings.ContainsAny(line, "\r\n"):
		return "", "", false
	case strings.HasPrefix(line, "//"), strings.HasPrefix(line, " "):
		return "", "", false
	}
	return user, password, true
}

// passwordKeys are the names that a password or an access token has.
var passwordKeys = []string{"password", "accessToken", "token"}

// credentialKeys are the keys by which an object is known to be meant for us.
var credentialKeys = []string{"username", "password", "accessToken", "token", "identitytoken", "auths"}

func fromObject(o *object, host, username string) (Credentials, *problem) {
	if p := o.oneSpelling(credentialKeys...); p != nil {
		return Credentials{}, p
	}
	fields := o.given(credentialKeys[:5]...)
	hosts := o.hosts()
	var c Credentials
	var p *problem
	switch {
	case o.filled("auths") && len(fields) > 0:
		return Credentials{}, bothKeys("the secret", "auths", fields[0])
	case o.filled("auths"):
		c, p = fromAuths(o, host)
	case len(fields) > 0:
		for _, k := range hosts {
			if isHost(k, host) {
				return Credentials{}, bothKeys("the secret", fields[0], k)
			}
		}
		c, p = fromFields(o, username, "the secret")
	case len(hosts) > 0:
		c, p = fromHosts(o, host, "the secret")
	default:
		c, p = fromFields(o, username, "the secret")
	}
	switch {
	case p != nil:
		return Credentials{}, p
	case username != "" && c.Username != username:
		return Credentials{}, &problem{
			"the secret names another username than the rule, which has " + strconv.Quote(username),
			"take username out of the rule, or correct one of the two",
		}
	}
	return c, nil
}

func bothKeys(what, one, other string) *problem {
	return &problem{what + " has both " + list([]string{one}) + " and " + list([]string{other}), hintOne}
}

// fromFields reads {"username", "password" | "accessToken" | "token"} and {"identitytoken"}. fallback is the username
// when the object has none; what names the object in errors.
func fromFields(o *object, fallback, what string) (Credentials, *problem) {
	passwords := o.given(passwordKeys...)
	token := o.filled("identitytoken")
	switch {
	case len(passwords) > 1:
		return Credentials{}, bothKeys(what, passwords[0], passwords[1])
	case token && len(passwords) > 0:
		return Credentials{}, bothKeys(what, "identitytoken", passwords[0])
	case token:
		return identity(o, what)
	case o.has("identitytoken") && !o.has("username") && !o.has(passwordKeys...):
		_, p := o.text("identitytoken", what)
		return Credentials{}, p
	}

	user := fallback
	if o.filled("username") || fallback == "" {
		u, p := o.text("username", what)
		if p != nil {
			return Credentials{}, p
		}
		user = u
	}
	key := "password"
	if len(passwords) > 0 {
		key = passwords[0]
	}
	s, p := o.text(key, what)
	if p != nil {
		return Credentials{}, p
	}
	return newCredentials(user, s, key, what)
}

// azureUsername stands for a name where Azure's login gives an identity token.
const azureUsername = "00000000-0000-0000-0000-000000000000"

// identity reads {"identitytoken"}, with the names that clients write beside it.
func identity(o *object, what string) (Credentials, *problem) {
	t, p := o.text("identitytoken", what)
	if p != nil {
		return Credentials{}, p
	}
	if o.filled("username") {
		if u, p := o.text("username", what); p != nil {
			return Credentials{}, p
		} else if u != TokenUsername && u != azureUsername {
			return Credentials{}, &problem{what + ` has both "identitytoken" and "username"`, "take username out"}
		}
	}
	return newCredentials(TokenUsername, t, "identitytoken", what)
}
