package references

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/secretref"
)

// Splunk's tokens have this form. One that stands where its reference belongs would be taken for the bare name of a
// parameter, and then be sent to AWS and printed in errors.
var uuid = regexp.MustCompile(`^(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// Parse is secretref.Parse for a text that somebody has written where a reference belongs, and that may be the secret itself:
// its error does not quote it then.
func Parse(text string) (secretref.Ref, error) {
	if uuid.MatchString(text) {
		return secretref.Ref{}, &fault.Error{
			Kind: fault.BadReference, Op: "parse reference", Cause: "it looks like a token, not like a reference to one",
			Hint: "put the token into Secrets Manager or Parameter Store and give the ARN",
		}
	}
	if low := strings.ToLower(text); !strings.HasPrefix(text, "arn:") && (strings.Contains(low, ":secretsmanager:") || strings.Contains(low, ":ssm:") || strings.Contains(low, ":s3:::") || strings.HasPrefix(low, "arn:")) {
		return secretref.Ref{}, &fault.Error{
			Kind: fault.BadReference, Op: "parse reference", Cause: "it looks like an ARN, and does not begin with arn: in small letters",
			Hint: "write arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME, arn:aws:ssm:REGION:ACCOUNT:parameter/NAME or arn:aws:s3:::BUCKET/KEY",
		}
	}
	return secretref.Parse(text)
}

// Entry is one element of the list of an ECS task definition, as secrets and secretOptions have it.
type Entry struct{ Name, ValueFrom string }

// ParseList reads such a list in JSON, or one element of it that stands alone. It is stricter than encoding/json: names of
// keys count with their case, and twice is an error. All of the text may be secrets that somebody put in the wrong place:
// errors, which go on behind the name of the list, do not quote it.
func ParseList(text string) ([]Entry, error) {
	if strings.HasPrefix(text, "{") {
		entries, err := parseList("[" + text + "]")
		if err != nil {
			return nil, errors.New("is an object that is not one of a name and a valueFrom")
		}
		return entries, nil
	}
	return parseList(text)
}

// ParseMap reads an object of names and references, {"NAME":"REFERENCE"}, and reports whether text is one. Names stand there once.
func ParseMap(text string) ([]Entry, bool) {
	d := json.NewDecoder(strings.NewReader(text))
	if !isDelim(d, '{') {
		return nil, false
	}
	var entries []Entry
	for d.More() {
		name, ok := str(d)
		ref, isText := str(d)
		if !ok || !isText || name == "" || ref == "" {
			return nil, false
		}
		entries = append(entries, Entry{name, ref})
	}
	if !isDelim(d, '}') {
		return nil, false
	}
	_, err := d.Token()
	return entries, errors.Is(err, io.EOF)
}

func parseList(text string) ([]Entry, error) {
	d := json.NewDecoder(strings.NewReader(text))
	if !isDelim(d, '[') {
		return nil, errors.New("is not a JSON list")
	}
	var entries []Entry
	for d.More() {
		e, err := parseEntry(d)
		if err != nil {
			return nil, fmt.Errorf("has entry %d, which %w", len(entries)+1, err)
		}
		entries = append(entries, e)
	}
	if !isDelim(d, ']') {
		return nil, errors.New("is a JSON list without its end")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("goes on after the JSON list")
	}
	return entries, nil
}

func parseEntry(d *json.Decoder) (e Entry, err error) {
	if !isDelim(d, '{') {
		return e, errors.New("is not a JSON object")
	}
	fields := map[string]*string{"name": &e.Name, "valueFrom": &e.ValueFrom}
	for d.More() {
		key, ok := str(d)
		field := fields[key]
		switch value, isText := str(d); {
		case !ok:
			return e, errors.New("is not well-formed JSON")
		case field == nil && (config.Letters(key) == "name" || config.Letters(key) == "valuefrom"):
			return e, fmt.Errorf("has the key %s; names of keys are name and valueFrom", key)
		case field == nil:
			return e, errors.New("has a key that is neither name nor valueFrom")
		case *field != "":
			return e, fmt.Errorf("has %s twice", key)
		case !isText || value == "":
			return e, fmt.Errorf("has no text as %s", key)
		default:
			*field = value
		}
	}
	switch {
	case !isDelim(d, '}'):
		return e, errors.New("is not well-formed JSON")
	case e.Name == "":
		return e, errors.New("has no name")
	case e.ValueFrom == "":
		return e, errors.New("has no valueFrom")
	}
	return e, nil
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
