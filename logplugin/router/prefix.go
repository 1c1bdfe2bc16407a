package router

import (
	"encoding/base64"
	"net/http"
	"net/netip"
	"strings"
)

// PrefixTLS returns the names of a router's TLS options, which begin with its prefix: "loki" has loki-ca-cert. noTLS is
// what the address of a receiver without TLS has, as in TLSNames.
func PrefixTLS(prefix, noTLS string) TLSNames {
	return TLSNames{
		CA: []string{prefix + "-ca-cert"}, Cert: prefix + "-client-cert", Key: prefix + "-client-key",
		ServerName: prefix + "-tls-server-name", SkipVerify: prefix + "-insecure-skip-verify", NoTLS: noTLS,
	}
}

// TLSOptions returns the options of PrefixTLS, and PREFIX-allow-plaintext.
func TLSOptions(prefix string) []Option {
	return append(PrefixTLS(prefix, "").Options(), Option{Name: allowPlaintext(prefix), Default: "false"})
}

// Options returns the options that n names.
func (n TLSNames) Options() []Option {
	return []Option{{Name: n.CA[0]}, {Name: n.Cert}, {Name: n.Key, Credential: true}, {Name: n.ServerName}, {Name: n.SkipVerify, Default: "false", SkipsVerify: true}}
}

func allowPlaintext(prefix string) string { return prefix + "-allow-plaintext" }

// CheckPlaintext refuses a credential that would go without TLS to another host than this one, unless
// PREFIX-allow-plaintext says that it may.
func (v *Values) CheckPlaintext(prefix string, a Address, credentials ...string) {
	if v.Bool(allowPlaintext(prefix), false) || a.Scheme != "http" || isLoopback(a.Host) {
		return
	}
	for _, name := range credentials {
		if v.Has(name) {
			v.fail("log-opt %s would go over http:// without encryption; write https://, or set %s=true", name, allowPlaintext(prefix))
			return
		}
	}
}

func isLoopback(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// Compression reads how bodies are compressed: one of words, of which "none" gives "".
func (v *Values) Compression(name string, words ...string) string {
	if word := v.OneOf(name, words...); word != "none" {
		return word
	}
	return ""
}

// Login is the names of the options that give a request its Authorization header: a user with a password, or a token, or, where
// the receiver has such, an API key, which is given as it is in the header, or as ID:KEY, or a user and a password in one, as
// USER:PASSWORD.
type Login struct{ User, Password, Token, APIKey, Both string }

// Credentials lists the options that change the header.
func (l Login) Credentials() []string {
	all := []string{l.User, l.Password, l.Token}
	for _, name := range []string{l.APIKey, l.Both} {
		if name != "" {
			all = append(all, name)
		}
	}
	return all
}

// Check refuses values that cannot be a header, and two ways to log in.
func (l Login) Check(v *Values) {
	switch {
	case v.Has(l.Token) && (v.Has(l.User) || v.Has(l.Password)):
		v.fail("log-opts %s and %s are two ways to log in; give one", l.Token, l.User)
	case v.Has(l.APIKey) && v.Has(l.Token):
		v.fail("log-opts %s and %s are two ways to log in; give one", l.APIKey, l.Token)
	case v.Has(l.APIKey) && (v.Has(l.User) || v.Has(l.Password)):
		v.fail("log-opts %s and %s are two ways to log in; give one", l.APIKey, l.User)
	case v.Has(l.Both) && (v.Has(l.User) || v.Has(l.Password) || v.Has(l.Token) || v.Has(l.APIKey)):
		v.fail("log-opt %s and another are two ways to log in; give one", l.Both)
	case v.Has(l.Both) && !v.Waits(l.Both) && !strings.Contains(v.Secret(l.Both).Reveal(), ":"):
		v.fail("log-opt %s is not USER:PASSWORD", l.Both)
	case v.Has(l.User) != v.Has(l.Password):
		v.fail("log-opts %s and %s need each other; give both", l.User, l.Password)
	case v.Has(l.User) && strings.Contains(v.String(l.User, ""), ":"):
		v.fail("log-opt %s: there is a colon in it", l.User)
	}
	v.CheckHeader(l.Token)
	v.CheckHeader(l.APIKey)
	v.Credential(l.Password)
	v.Credential(l.Both)
}

// Set sets the header, if the options give one.
func (l Login) Set(h http.Header, v *Values) {
	switch {
	case v.Has(l.APIKey):
		key := v.Secret(l.APIKey).Reveal()
		if strings.Contains(key, ":") {
			key = base64.StdEncoding.EncodeToString([]byte(key))
		}
		h.Set("Authorization", "ApiKey "+key)
	case v.Has(l.Both):
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(v.Secret(l.Both).Reveal())))
	case v.Has(l.Token):
		h.Set("Authorization", "Bearer "+v.Secret(l.Token).Reveal())
	case v.Has(l.User):
		text := v.String(l.User, "") + ":" + v.Secret(l.Password).Reveal()
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(text)))
	}
}

// CheckHeader refuses a credential, if it is given, that is empty or cannot be in a header.
func (v *Values) CheckHeader(name string) {
	switch {
	case !v.Has(name) || v.Waits(name):
	case v.Secret(name).IsEmpty():
		v.fail("log-opt %s is empty", name)
	case strings.ContainsFunc(v.Credential(name).Reveal(), func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		v.fail("log-opt %s has a blank, a line break or another character that cannot be in a header", name)
	}
}

// CheckHeaderLine refuses a value that cannot be a whole header, in which there may be blanks.
func (v *Values) CheckHeaderLine(name string) {
	if !v.Waits(name) && strings.ContainsFunc(v.Credential(name).Reveal(), func(r rune) bool { return r < ' ' || r >= 0x7f }) {
		v.fail("log-opt %s has a line break or another character that cannot be in a header", name)
	}
}

// SetHeader sets a header to the value of the option name.
func (v *Values) SetHeader(h http.Header, header, name string) {
	h.Set(header, v.Secret(name).Reveal())
}

// SetUser sets the header of basic authentication to the value of the option name as a user without a password.
func (v *Values) SetUser(h http.Header, name string) {
	h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(v.Secret(name).Reveal()+":")))
}

// Shown is how errors call the receiver at a: without its path, and as the name of the router alone when the address
// came by reference.
func (a Address) Shown(hidden bool, router string) string {
	if hidden {
		return "the " + router + " receiver"
	}
	return a.Base()
}
