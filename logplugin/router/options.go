package router

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/secret"
)

// Options are the log options of one container, as far as they are a router's: those that were given as they are, and
// those that secretOptions gives. Any option may be either, none both.
type Options struct {
	Plain   map[string]string
	Secrets map[string]secret.Source
	// Files are the directories below which options may name files; nil means everywhere.
	Files []string
	// Allow refuses values of connection options that this host does not allow, as an address that a reference gave. nil
	// allows all.
	Allow func(*Values) error
}

// Rename returns o with options under the name that is on the right in names instead of the one on the left. Both at once
// are an error.
func (o Options) Rename(names map[string]string) (Options, error) {
	plain, secrets := maps.Clone(o.Plain), maps.Clone(o.Secrets)
	for _, from := range slices.Sorted(maps.Keys(names)) {
		to := names[from]
		text, isPlain := plain[from]
		source, isSecret := secrets[from]
		if !isPlain && !isSecret {
			continue
		}
		if _, both := plain[to]; both || secrets[to] != nil {
			return o, fmt.Errorf("log-opts %s and %s are the same thing; give one", from, to)
		}
		if isPlain {
			plain[to] = text
		}
		if isSecret {
			secrets[to] = source
		}
		delete(plain, from)
		delete(secrets, from)
	}
	o.Plain, o.Secrets = plain, secrets
	return o, nil
}

// Members returns the names of the given options of a family, in order.
func (o Options) Members(family string) []string {
	var names []string
	for _, all := range [][]string{slices.Collect(maps.Keys(o.Plain)), slices.Collect(maps.Keys(o.Secrets))} {
		for _, name := range all {
			if strings.HasPrefix(name, family+".") {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Unresolved returns the options with every secret unknown, to check all that can be checked without one.
func (o Options) Unresolved() *Values {
	v := &Values{plain: o.Plain, secrets: map[string]secret.Value{}, files: o.Files, unknown: true}
	for name := range o.Secrets {
		v.secrets[name] = secret.Value{}
	}
	for name := range o.Plain {
		if _, both := o.Secrets[name]; both {
			v.fail("log-opt %s is also in secretOptions; give it once", name)
		}
	}
	return v
}

// Connection asks the sources for the present values of the connection options among list. The error is a source's, or
// that of Allow.
func (o Options) Connection(ctx context.Context, list []Option) (*Values, error) {
	v, err := o.resolve(ctx, list, func(l Option) bool { return !l.Session && !l.Ignored })
	if err == nil && o.Allow != nil {
		err = o.Allow(v)
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// Session asks the sources for the present values of the encoder's options among list.
func (o Options) Session(ctx context.Context, list []Option) (*Values, error) {
	return o.resolve(ctx, list, func(l Option) bool { return l.Session && !l.Ignored })
}

func (o Options) resolve(ctx context.Context, list []Option, want func(Option) bool) (*Values, error) {
	v := &Values{plain: o.Plain, secrets: map[string]secret.Value{}, files: o.Files}
	for _, name := range slices.Sorted(maps.Keys(o.Secrets)) {
		if l := find(list, name); l == nil || !want(*l) {
			continue
		}
		value, err := o.Secrets[name].Get(ctx)
		if err != nil {
			return nil, fmt.Errorf("log-opt %s: %w", name, err)
		}
		v.secrets[name] = value
	}
	return v, nil
}

// Invalidate marks the values of the named options as refused, at their sources.
func (o Options) Invalidate(v *Values, names ...string) {
	for _, name := range names {
		if s, ok := o.Secrets[name]; ok {
			s.Invalidate(v.secrets[name])
		}
	}
}

// Values reads options one by one, strictly. The first fault stays, for Err; readers then return their defaults.
// An option whose value is not known yet reads as its default. No error shows the value of a secret.
type Values struct {
	plain   map[string]string
	secrets map[string]secret.Value
	files   []string // as in Options
	unknown bool     // secrets are not resolved yet
	err     error
}

// Err returns the first fault.
func (v *Values) Err() error { return v.err }

// Refuse makes the fault of the options, unless there is one already.
func (v *Values) Refuse(format string, args ...any) { v.fail(format, args...) }

func (v *Values) fail(format string, args ...any) {
	if v.err == nil {
		v.err = fmt.Errorf(format, args...)
	}
}

// Has reports whether the option is given, whether its value is known or not.
func (v *Values) Has(name string) bool {
	_, plain := v.plain[name]
	_, hidden := v.secrets[name]
	return plain || hidden
}

// IsSecret reports whether the option's value came by reference: it is shown nowhere.
func (v *Values) IsSecret(name string) bool {
	_, hidden := v.secrets[name]
	return hidden
}

// Waits reports whether the option is a secret whose value is not known yet.
func (v *Values) Waits(name string) bool {
	_, hidden := v.secrets[name]
	return hidden && v.unknown
}

// Secret returns the value of an option that is or may be a credential.
func (v *Values) Secret(name string) secret.Value {
	if s, ok := v.secrets[name]; ok {
		return withoutLineEnd(s)
	}
	return secret.New(v.plain[name])
}

// withoutLineEnd drops one line ending at the end of a secret that is used as an option: an editor has put it there.
func withoutLineEnd(s secret.Value) secret.Value {
	text, cut := secret.CutLineEnding(s.Reveal())
	if !cut {
		return s
	}
	return secret.New(text)
}

// Credential is Secret for a credential that is one text: a whole JSON object in its place is a fault that names the keys.
func (v *Values) Credential(name string) secret.Value {
	s := v.Secret(name)
	if !strings.HasPrefix(strings.TrimSpace(s.Reveal()), "{") {
		return s
	}
	var object map[string]json.RawMessage
	if json.Unmarshal([]byte(s.Reveal()), &object) != nil || len(object) == 0 {
		return s
	}
	keys := slices.Sorted(maps.Keys(object))
	const shown, longest = 10, 64
	more := ""
	if len(keys) > shown {
		keys, more = keys[:shown], " and others"
	}
	for i, k := range keys {
		if len(k) > longest {
			keys[i] = strings.ToValidUTF8(k[:longest], "") + "…"
		}
	}
	v.fail("log-opt %s is a whole JSON secret with the keys %s%s; name one of them at the end of the reference, as in arn:…:secret:NAME:%s::",
		name, fault.OneLine(strings.Join(keys, ", ")), more, fault.OneLine(keys[0]))
	return s
}

// String returns the option's text, or def when it is not given or not known.
func (v *Values) String(name, def string) string {
	if s, ok := v.secrets[name]; ok {
		if v.unknown {
			return def
		}
		return withoutLineEnd(s).Reveal()
	}
	if s, ok := v.plain[name]; ok {
		return s
	}
	return def
}

// Shown returns the option's value for an error: as it is, or without it when it is a secret.
func (v *Values) Shown(name string) string {
	if _, hidden := v.secrets[name]; hidden {
		return "its secret's value"
	}
	return strconv.Quote(v.plain[name])
}

// Bool reads what strconv.ParseBool knows, as Docker's drivers do.
func (v *Values) Bool(name string, def bool) bool {
	if !v.Has(name) || v.Waits(name) {
		return def
	}
	b, err := strconv.ParseBool(v.String(name, ""))
	if err != nil {
		v.fail("log-opt %s: %s is not a boolean; use true or false", name, v.Shown(name))
		return def
	}
	return b
}

// Int reads a decimal number between lo and hi.
func (v *Values) Int(name string, def, lo, hi int64) int64 {
	if !v.Has(name) || v.Waits(name) {
		return def
	}
	n, err := strconv.ParseInt(v.String(name, ""), 10, 64)
	if err != nil || n < lo || n > hi {
		v.fail("log-opt %s: %s is not a number from %d to %d", name, v.Shown(name), lo, hi)
		return def
	}
	return n
}

// Duration reads a Go duration between lo and hi.
func (v *Values) Duration(name string, def, lo, hi time.Duration) time.Duration {
	if !v.Has(name) || v.Waits(name) {
		return def
	}
	d, err := time.ParseDuration(v.String(name, ""))
	if err != nil || d < lo || d > hi {
		v.fail("log-opt %s: %s is not a duration from %v to %v, like 10s", name, v.Shown(name), lo, hi)
		return def
	}
	return d
}

// OneOf reads one of the listed words; the first is the default.
func (v *Values) OneOf(name string, words ...string) string {
	s := v.String(name, words[0])
	if !slices.Contains(words, s) {
		v.fail("log-opt %s: %s is not one of %s", name, v.Shown(name), strings.Join(words, ", "))
		return words[0]
	}
	return s
}

// Fingerprint returns a hash of the secret values. Those of except do not count.
func (v *Values) Fingerprint(except ...string) [sha256.Size]byte {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(v.secrets)) {
		if slices.Contains(except, name) {
			continue
		}
		text := v.secrets[name].Reveal()
		fmt.Fprintf(h, "%s\x00%d\x00%s\x00", name, len(text), text)
	}
	return [sha256.Size]byte(h.Sum(nil))
}
