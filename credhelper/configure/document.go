package configure

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/secretref/secretref/shared/conffile"
)

// document is a client's configuration file: docker's config.json or podman's auth.json.
type document struct{ *conffile.Document }

// clientKeys returns those of a client's configuration that are looked at.
func clientKeys() conffile.Keys {
	return conffile.Keys{Names: []string{"credHelpers", "credsStore", "auths"}, Tables: []string{"credHelpers"}}
}

// parseDocument reads the text of a client's configuration.
func parseDocument(text []byte) (document, error) {
	d, err := conffile.Parse(text, clientKeys())
	return document{d}, err
}

// editJSON opens a client's configuration file; one that does not exist is {}.
func editJSON(on conffile.Disk, path string) (*conffile.File, document, error) {
	f, d, err := on.EditJSON(path, clientKeys())
	return f, document{d}, err
}

// helper returns credHelpers[key].
func (d document) helper(key string) (string, bool, error) {
	value, ok := d.Get("credHelpers", key)
	if !ok {
		return "", false, nil
	}
	var s string
	if json.Unmarshal(value, &s) != nil {
		return "", false, fmt.Errorf("credHelpers[%q] is not a string; correct it first", key)
	}
	return s, true, nil
}

// setHelper adds credHelpers[key], which is not there yet.
func (d document) setHelper(key, value string) error {
	b, err := json.Marshal(value)
	if err != nil {
		return err
	}
	d.Set("credHelpers", key, b)
	return nil
}

// dropHelpers removes the entries of credHelpers with that value, and credHelpers when nothing else was in it. It
// returns the keys.
func (d document) dropHelpers(value string) []string {
	return d.Drop("credHelpers", func(_ string, have json.RawMessage) bool {
		var s string
		return json.Unmarshal(have, &s) == nil && s == value
	})
}

// logins returns the keys of auths that hold a credential. docker leaves an empty entry for a login that a helper keeps.
func (d document) logins() ([]string, error) {
	value, ok := d.Value("auths")
	if !ok {
		return nil, nil
	}
	var auths map[string]map[string]any
	if json.Unmarshal(value, &auths) != nil {
		return nil, errors.New(`"auths" is not an object of objects; correct it first`)
	}
	var keys []string
	for k, entry := range auths {
		for _, name := range []string{"auth", "username", "password", "identitytoken", "registrytoken"} {
			if s, ok := entry[name].(string); ok && s != "" {
				keys = append(keys, k)
				break
			}
		}
	}
	slices.Sort(keys)
	return keys, nil
}
