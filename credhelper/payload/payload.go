// Package payload reads the text of a secret as registry credentials.
//
// Use it on what Secrets Manager or Parameter Store gave for a rule's credentialsParameter. It takes the JSON object
// that ECS takes ({"username", "password"}), the one of ECR pull-through-cache secrets ({"username", "accessToken"}),
// an identity token ({"identitytoken"}), a Docker config.json ({"auths": {host: ...}}), and, where the rule names the
// username, a bare password.
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
	Username string
	Secret   secret.Value
}

// Parse reads value as the credentials for host, which is canonical as from registryhost. username is the one that the
// rule names, or "".
//
// With a username, a text that is not a JSON object with one of the keys above is the password itself, byte for byte
// but for one line ending at its end: a password pasted into a SecureString often has one, no registry wants it, and
// the login would fail without a word about why. A JSON key file (username "_json_key") is such a text too.
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
	case ok && (o.has(credentialKeys...) || username == ""):
		return fromObject(o, host, username)
	case username == "":
		return Credentials{}, &problem{"the secret is not a JSON object, and the rule has no username", hintBare}
	}
	password := strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	if !strings.HasSuffix(text, "\n") {
		password = text // a lone carriage return is no line ending
	}
	if password == "" {
		return Credentials{}, &problem{"the secret is an empty line", hintBare}
	}
	return Credentials{username, secret.New(password)}, nil
}

// credentialKeys are the keys by which an object is known to be meant for us.
var credentialKeys = []string{"username", "password", "accessToken", "identitytoken", "auths"}

func fromObject(o *object, host, username string) (Credentials, *problem) {
	if p := o.oneSpelling(credentialKeys...); p != nil {
		return Credentials{}, p
	}
	var c Credentials
	var p *problem
	if o.has("auths") {
		for _, k := range credentialKeys[:4] {
			if o.has(k) {
				return Credentials{}, &problem{`the secret has both "auths" and ` + strconv.Quote(k), hintOne}
			}
		}
		c, p = fromAuths(o, host)
	} else {
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

// fromFields reads {"username", "password" | "accessToken"} and {"identitytoken"}. fallback is the username when the
// object has none; what names the object in errors.
func fromFields(o *object, fallback, what string) (Credentials, *problem) {
	password, accessToken, token := o.has("password"), o.has("accessToken"), o.has("identitytoken")
	switch {
	case password && accessToken:
		return Credentials{}, &problem{what + ` has both "password" and "accessToken"`, hintOne}
	case token && (password || accessToken):
		return Credentials{}, &problem{what + ` has both "identitytoken" and a password`, hintOne}
	case token:
		t, p := o.text("identitytoken", what)
		if p != nil {
			return Credentials{}, p
		}
		if o.has("username") {
			if u, p := o.text("username", what); p != nil {
				return Credentials{}, p
			} else if u != TokenUsername {
				return Credentials{}, &problem{what + ` has both "identitytoken" and "username"`, "take username out"}
			}
		}
		return Credentials{TokenUsername, secret.New(t)}, nil
	}

	user := fallback
	if o.has("username") || fallback == "" {
		u, p := o.text("username", what)
		if p != nil {
			return Credentials{}, p
		}
		user = u
	}
	key := "password"
	if accessToken {
		key = "accessToken"
	}
	s, p := o.text(key, what)
	if p != nil {
		return Credentials{}, p
	}
	return Credentials{user, secret.New(s)}, nil
}
