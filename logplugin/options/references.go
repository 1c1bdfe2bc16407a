package options

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/secretref/secretref/logplugin/references"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/shared/secretref"
)

const dot = secretOptions + "."

// isDotted reports whether name is that of a reference in the form secretOptions.NAME.
func isDotted(name string) bool { return strings.HasPrefix(name, dot) }

// readReferences reads both forms of secretOptions. All texts in them may be secrets that somebody put in the wrong place.
func readReferences(k *router.Kind, given map[string]string) (map[string]secretref.Ref, error) {
	texts := map[string]string{}
	if list, ok := given[secretOptions]; ok {
		entries, err := parseSecretOptions(list)
		if err != nil {
			return nil, fmt.Errorf(`log-opt %s %w; write [{"name":"OPTION","valueFrom":"REFERENCE"}]`, secretOptions, err)
		}
		for i, e := range entries {
			if _, twice := texts[e.Name]; twice {
				return nil, fmt.Errorf("log-opt %s names %q twice; remove entry %d or the other", secretOptions, e.Name, i+1)
			}
			texts[e.Name] = e.ValueFrom
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
		ref, err := references.Parse(texts[name])
		if err != nil {
			return nil, fmt.Errorf("log-opt %s%s: %w", dot, name, err)
		}
		refs[name] = ref
	}
	return refs, nil
}

// parseSecretOptions reads the list, or one element of it that stands alone.
func parseSecretOptions(text string) ([]references.Entry, error) {
	if strings.HasPrefix(text, `"`+secretOptions) || strings.HasPrefix(text, `{"`+secretOptions) || strings.HasPrefix(text, `{"`+logDriver) {
		return nil, errors.New("holds more than the list of an ECS logConfiguration")
	}
	return references.ParseList(text)
}
