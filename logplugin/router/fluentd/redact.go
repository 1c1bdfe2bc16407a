package fluentd

import (
	"encoding/base64"
	"encoding/hex"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/secretref/secretref/logplugin/router"
)

// An option that is not a credential, and came by reference all the same, may be "1" or "yes": such texts are in every
// sentence.
const shortest = 4

// redactor returns a function that takes out of a text the destination's secrets, and what is given as more.
func redactor(v *router.Values, t target) func(text string, more ...string) string {
	var secrets []string
	for _, o := range options {
		s := v.Secret(o.Name).Reveal()
		if o.Name == "fluentd-shared-key" || o.Name == "fluentd-password" || v.IsSecret(o.Name) && len(s) >= shortest {
			secrets = append(secrets, spellings(s)...)
		}
	}
	if t.hidden {
		host, _, _ := net.SplitHostPort(t.address)
		secrets = append(secrets, t.address, host)
	}
	return func(text string, more ...string) string {
		for _, s := range append(secrets[:len(secrets):len(secrets)], more...) {
			if s != "" {
				text = strings.ReplaceAll(text, s, "[redacted]")
			}
		}
		return text
	}
}

// spellings returns s as a receiver may repeat it.
func spellings(s string) []string {
	quoted, digits := strconv.Quote(s), hex.EncodeToString([]byte(s))
	return []string{s, quoted[1 : len(quoted)-1], url.QueryEscape(s), url.PathEscape(s), digits, strings.ToUpper(digits),
		base64.StdEncoding.EncodeToString([]byte(s)), base64.RawURLEncoding.EncodeToString([]byte(s))}
}
