package router

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"iter"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// An option that is not a credential, and came by reference all the same, may be "1" or "yes": such texts are in every
// sentence.
const shortestHidden = 4

// redacted stands for what was taken out of a text.
const redacted = "[redacted]"

// Redact takes out of a text from the network whatever is secret among the options of list, and more, in all spellings
// in which it can appear there. Call it before a text is cut: half of a secret is not found.
func (v *Values) Redact(list []Option, text string, more ...string) string {
	secrets := more
	for _, names := range []iter.Seq[string]{maps.Keys(v.plain), maps.Keys(v.secrets)} {
		for name := range names {
			o, s := find(list, name), v.Secret(name).Reveal()
			if o != nil && s != "" && (o.Credential || v.IsSecret(name) && len(s) >= shortestHidden) {
				secrets = append(secrets[:len(secrets):len(secrets)], s)
			}
		}
	}
	return hide(text, secrets)
}

// hide takes secrets out of a text, in all spellings.
func hide(text string, secrets []string) string {
	var all []string
	for _, s := range secrets {
		all = append(all, spellings(s)...)
		for _, part := range parts(s) {
			all = append(all, spellings(part)...)
		}
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	for _, spelling := range slices.Compact(all) { // the longest first, or the end of one that begins with another stays
		text = replaceFold(text, spelling)
	}
	return text
}

// Parts of a secret are looked for as well: a receiver says `unknown token X` of the header `Bearer X`, and `cannot POST /in/X`
// of an address. Shorter parts are words of every sentence. A certificate is not taken apart.
const (
	shortestPart = 8
	longestWhole = 8 << 10
)

func parts(s string) (all []string) {
	if len(s) > longestWhole || strings.Contains(s, "\n") {
		return nil
	}
	if scheme, text, ok := strings.Cut(s, " "); ok && strings.EqualFold(scheme, "Basic") {
		if pair, err := base64.StdEncoding.DecodeString(text); err == nil {
			_, password, _ := strings.Cut(string(pair), ":")
			all = append(all, string(pair), password)
		}
	}
	for _, separators := range []string{" \t", " \t,;:?&#@", " \t,;:?&#@/="} {
		for _, word := range strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
			if all = append(all, word); strings.ContainsAny(word, "%+") {
				plain, err := url.QueryUnescape(word)
				if err == nil {
					all = append(all, plain)
				}
			}
		}
	}
	return slices.DeleteFunc(all, func(part string) bool { return len(part) < shortestPart })
}

// RedactAddress is Redact, and takes out the host of an address that came by reference too.
func (v *Values) RedactAddress(list []Option, f AddressForm, text string) string {
	if !v.IsSecret(f.Option) {
		return v.Redact(list, text)
	}
	var hosts []string
	for _, a := range v.AddressList(f) {
		hosts = append(hosts, a.HostPort(), a.Host)
	}
	return v.Redact(list, text, hosts...)
}

// spellings returns s as a receiver, a proxy or an error may write it.
func spellings(s string) []string {
	if s == "" {
		return nil
	}
	all := []string{s, url.QueryEscape(s), url.PathEscape(s), html.EscapeString(s), hex.EncodeToString([]byte(s))}
	if quoted, err := json.Marshal(s); err == nil {
		text := string(quoted[1 : len(quoted)-1])
		all = append(all, text, strings.ReplaceAll(text, "/", `\/`))
		if plain := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(text); plain != text {
			all = append(all, plain)
		}
	}
	var percent strings.Builder
	for i := range len(s) {
		percent.WriteString("%" + hex.EncodeToString([]byte{s[i]}))
	}
	all = append(all, percent.String())
	return append(all, inBase64(s)...)
}

// inBase64 returns what base64 makes of s wherever it stands in what was encoded: alone, and behind a user name and a
// colon. Only the digits that s alone decides count.
func inBase64(s string) []string {
	const shortest = 8 // digits; fewer are in many a word
	var all []string
	for before := range 3 {
		text := make([]byte, before, before+len(s))
		text = append(text, s...)
		first, last := (before*8+5)/6, len(text)*8/6
		for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			if last-first >= shortest {
				all = append(all, e.EncodeToString(text)[first:last])
			}
		}
	}
	return all
}

// replaceFold replaces old in text whatever the case of its ASCII letters.
func replaceFold(text, old string) string {
	lower, old := asciiLower(text), asciiLower(old)
	var b strings.Builder
	from := 0
	for {
		i := strings.Index(lower[from:], old)
		if i < 0 {
			break
		}
		b.WriteString(text[from:from+i] + redacted)
		from += i + len(old)
	}
	if from == 0 {
		return text
	}
	return b.String() + text[from:]
}

// asciiLower keeps the length of s, as strings.ToLower does not.
func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
