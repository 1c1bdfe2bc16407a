package options

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/secretref"
)

const dot = secretOptions + "."

// isDotted reports whether name is that of a reference in the form secretOptions.NAME.
func isDotted(name string) bool { return strings.HasPrefix(name, dot) }

// references reads both forms of secretOptions. All texts in them may be secrets that somebody put in the wrong place.
func references(k *router.Kind, given map[string]string) (map[string]secretref.Ref, error) {
	texts := map[string]string{}
	if list, ok := given[secretOptions]; ok {
		pairs, err := parseSecretOptions(list)
		if err != nil {
			return nil, fmt.Errorf(`log-opt %s %w; write [{"name":"OPTION","valueFrom":"REFERENCE"}]`, secretOptions, err)
		}
		for i, p := range pairs {
			if _, twice := texts[p.name]; twice {
				return nil, fmt.Errorf("log-opt %s names %q twice; remove entry %d or the other", secretOptions, p.name, i+1)
			}
			texts[p.name] = p.valueFrom
		}
	}
	for _, key := range slices.Sorted(maps.Keys(given)) {
		if !isDotted(key) {
			continue
		}
		name := strings.TrimPrefix(key, dot)
		if _, twice := texts[name]; twice {
			return nil, givenTwice(secretOptions, key, name)
		}
		texts[name] = given[key]
	}
	refs := map[string]secretref.Ref{}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if k.Option(name) == nil {
			return nil, fmt.Errorf("log-opt %s names %q, which is not an option of logDriver %s; %s", secretOptions, name, k.Name, nearest(name, k.Names(nil)))
		}
		if _, twice := given[name]; twice {
			return nil, givenTwice(secretOptions, name, name)
		}
		ref, err := parseReference(texts[name])
		if err != nil {
			return nil, fmt.Errorf("log-opt %s%s: %w", dot, name, err)
		}
		refs[name] = ref
	}
	return refs, nil
}

// Splunk's tokens have this form. One that stands where its reference belongs would be taken for the bare name of a
// parameter, and then be sent to AWS and printed in errors.
var uuid = regexp.MustCompile(`^(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func parseReference(text string) (secretref.Ref, error) {
	if uuid.MatchString(text) {
		return secretref.Ref{}, &fault.Error{
			Kind: fault.BadReference, Op: "parse reference", Cause: "it looks like a token, not like a reference to one",
			Hint: "put the token into Secrets Manager or Parameter Store and give the ARN",
		}
	}
	if low := strings.ToLower(text); !strings.HasPrefix(text, "arn:") && (strings.Contains(low, ":secretsmanager:") || strings.Contains(low, ":ssm:") || strings.HasPrefix(low, "arn:")) {
		return secretref.Ref{}, &fault.Error{
			Kind: fault.BadReference, Op: "parse reference", Cause: "it looks like an ARN, and does not begin with arn: in small letters",
			Hint: "write arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME or arn:aws:ssm:REGION:ACCOUNT:parameter/NAME",
		}
	}
	return secretref.Parse(text)
}

type pair struct{ name, valueFrom string }

// parseSecretOptions reads the list, or one element of it that stands alone.
func parseSecretOptions(text string) ([]pair, error) {
	switch {
	case strings.HasPrefix(text, `"`+secretOptions) || strings.HasPrefix(text, `{"`+secretOptions) || strings.HasPrefix(text, `{"`+logDriver):
		return nil, errors.New("holds more than the list of an ECS logConfiguration")
	case strings.HasPrefix(text, "{"):
		pairs, err := parseList("[" + text + "]")
		if err != nil {
			return nil, errors.New("is an object that is not one of a name and a valueFrom")
		}
		return pairs, nil
	}
	return parseList(text)
}

// parseList reads the JSON list of an ECS logConfiguration. It is stricter than encoding/json: names count with their
// case, and twice is an error. Its errors do not quote the text.
func parseList(text string) ([]pair, error) {
	d := json.NewDecoder(strings.NewReader(text))
	if !isDelim(d, '[') {
		return nil, errors.New("is not a JSON list")
	}
	var pairs []pair
	for d.More() {
		p, err := parsePair(d)
		if err != nil {
			return nil, fmt.Errorf("has entry %d, which %w", len(pairs)+1, err)
		}
		pairs = append(pairs, p)
	}
	if !isDelim(d, ']') {
		return nil, errors.New("is a JSON list without its end")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("goes on after the JSON list")
	}
	return pairs, nil
}

func parsePair(d *json.Decoder) (p pair, err error) {
	if !isDelim(d, '{') {
		return p, errors.New("is not a JSON object")
	}
	fields := map[string]*string{"name": &p.name, "valueFrom": &p.valueFrom}
	for d.More() {
		key, ok := str(d)
		field := fields[key]
		switch value, isText := str(d); {
		case !ok:
			return p, errors.New("is not well-formed JSON")
		case field == nil && (letters(key) == "name" || letters(key) == "valuefrom"):
			return p, fmt.Errorf("has the key %s; names of keys are name and valueFrom", key)
		case field == nil:
			return p, errors.New("has a key that is neither name nor valueFrom")
		case *field != "":
			return p, fmt.Errorf("has %s twice", key)
		case !isText || value == "":
			return p, fmt.Errorf("has no text as %s", key)
		default:
			*field = value
		}
	}
	switch {
	case !isDelim(d, '}'):
		return p, errors.New("is not well-formed JSON")
	case p.name == "":
		return p, errors.New("has no name")
	case p.valueFrom == "":
		return p, errors.New("has no valueFrom")
	}
	return p, nil
}

func isDelim(d *json.Decoder, want json.Delim) bool {
	t, err := d.Token()
	return err == nil && t == want
}

func str(d *json.Decoder) (string, bool) {
	t, err := d.Token()
	s, ok := t.(string)
	return s, ok && err == nil
}
