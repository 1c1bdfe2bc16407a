package payload

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/secretref/secretref/shared/registryhost"
)

var entryKeys = []string{"auth", "username", "password", "identitytoken"}

// fromAuths finds host in {"auths": {host: ...}}, a Docker config.json or a Kubernetes dockerconfigjson. The hosts in
// it are written as docker login writes them (https://index.docker.io/v1/), so both sides go through registryhost.
func fromAuths(o *object, host string) (Credentials, *problem) {
	auths, ok := o.object("auths")
	if !ok {
		return Credentials{}, &problem{`"auths" is not a JSON object`, `store {"auths": {"` + host + `": {"auth": "..."}}}`}
	}
	return fromHosts(auths, host, `"auths"`)
}

// hosts returns the keys of a .dockercfg: those of objects that have a field of an entry.
func (o *object) hosts() []string {
	var hosts []string
	for _, k := range o.keys {
		entry, ok := parseObject(o.values[k])
		if !ok || !entry.has(entryKeys...) {
			continue
		}
		if _, err := registryhost.Normalize(k); err == nil {
			hosts = append(hosts, k)
		}
	}
	return hosts
}

func isHost(key, host string) bool {
	n, err := registryhost.Normalize(key)
	return err == nil && n.String() == host
}

// fromHosts finds host in {host: entry}; what names the object in errors.
func fromHosts(auths *object, host, what string) (Credentials, *problem) {
	var all []string
	var got *Credentials
	for _, k := range auths.keys {
		n, err := registryhost.Normalize(k)
		if err != nil {
			continue
		}
		all = append(all, n.String())
		if n.String() != host { // an entry for one namespace is not one for the host
			continue
		}
		entry, ok := parseObject(auths.values[k])
		if !ok {
			return Credentials{}, &problem{`the entry for ` + host + ` in ` + what + ` is not a JSON object`, "store it again"}
		}
		c, p := fromEntry(entry, `the entry for `+host+` in `+what)
		if p != nil {
			return Credentials{}, p
		}
		if got != nil && (got.Username != c.Username || !got.Secret.Equal(c.Secret)) {
			return Credentials{}, &problem{what + ` has two entries for ` + host + ` that differ`, hintOne}
		}
		got = &c
	}
	if got != nil {
		return *got, nil
	}
	if len(all) == 0 {
		return Credentials{}, &problem{what + ` has no entry for ` + host + `, and none for another host`, "add the host to the secret"}
	}
	slices.Sort(all)
	return Credentials{}, &problem{
		what + ` has no entry for ` + host + `; it has ` + list(slices.Compact(all)),
		"add the host to the secret, or name another secret in its rule",
	}
}

// fromEntry reads one entry: "auth", or "username" and "password", or "identitytoken". Several are taken when they
// agree, as in the files that docker and kubectl write.
func fromEntry(o *object, what string) (Credentials, *problem) {
	if p := o.oneSpelling(entryKeys...); p != nil {
		return Credentials{}, p
	}
	var user, password string
	if o.filled("auth") {
		var p *problem
		if user, password, p = o.auth(what); p != nil {
			return Credentials{}, p
		}
	}
	switch {
	case o.filled("identitytoken"):
		// docker login writes the token's entry with an "auth" of a placeholder for a name and no password.
		if password != "" || o.filled("password") {
			return Credentials{}, bothKeys(what, "identitytoken", "password")
		}
		t, p := o.text("identitytoken", what)
		if p != nil {
			return Credentials{}, p
		}
		return newCredentials(TokenUsername, t, "identitytoken", what)
	case !o.filled("auth"):
		u, p := o.text("username", what)
		if p != nil {
			return Credentials{}, p
		}
		s, p := o.text("password", what)
		if p != nil {
			return Credentials{}, p
		}
		return newCredentials(u, s, "password", what)
	case user == "" || password == "":
		return Credentials{}, &problem{`"auth" in ` + what + ` has no username or no password`, `it is base64 of "username:password"`}
	}
	for _, f := range []struct{ key, want string }{{"username", user}, {"password", password}} {
		if !o.filled(f.key) {
			continue
		}
		if got, p := o.text(f.key, what); p != nil {
			return Credentials{}, p
		} else if got != f.want {
			return Credentials{}, &problem{`"auth" and "` + f.key + `" in ` + what + ` contradict each other`, hintOne}
		}
	}
	return newCredentials(user, password, "auth", what)
}

// auth splits base64(user:password) once: a password may hold colons.
func (o *object) auth(what string) (user, password string, p *problem) {
	s, p := o.text("auth", what)
	if p != nil {
		return "", "", p
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return "", "", &problem{`"auth" in ` + what + ` is not base64`, `it is base64 of "username:password"`}
	}
	user, password, ok := strings.Cut(string(b), ":")
	if !ok {
		return "", "", &problem{`"auth" in ` + what + ` has no colon`, `it is base64 of "username:password"`}
	}
	return user, password, nil
}
