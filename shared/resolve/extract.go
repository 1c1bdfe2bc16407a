package resolve

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"

	"github.com/secretref/secretref/shared/secret"
	"github.com/secretref/secretref/shared/secretref"
)

// extract returns the part of a secret that a reference names: the whole, or the value of a top-level key. A string is
// decoded; a number keeps its literal text; true, false, objects and arrays come as compact JSON. Of a key that stands
// there twice the last one counts, as in ECS.
func extract(ref secretref.Ref, text secret.Value) (secret.Value, error) {
	if ref.JSONKey == "" {
		return text, nil
	}
	var members map[string]json.RawMessage
	dec := json.NewDecoder(strings.NewReader(text.Reveal()))
	err := dec.Decode(&members)
	if err == nil {
		_, err = dec.Token()
	}
	// The parser's own words are left out: they quote the secret.
	if err != io.EOF {
		return secret.Value{}, badValue("the secret is not a JSON object, so it has no key "+ref.JSONKey,
			"leave the json-key out of the reference, or store a JSON object")
	}
	raw, ok := members[ref.JSONKey]
	if !ok {
		return secret.Value{}, badValue("retrieved secret from Secrets Manager did not contain json key "+ref.JSONKey,
			"keys are top-level and case-sensitive")
	}
	return scalar(ref.JSONKey, raw)
}

func scalar(key string, raw json.RawMessage) (secret.Value, error) {
	empty := badValue("the json key "+key+" is empty", "put a value into it")
	switch raw[0] {
	case 'n':
		return secret.Value{}, badValue("the json key "+key+" is null", "put a value into it")
	case '"':
		var s string
		if err := json.Unmarshal(raw, &s); err != nil || s == "" {
			return secret.Value{}, empty
		}
		return secret.New(s), nil
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return secret.Value{}, empty
	}
	return secret.New(compact.String()), nil
}
