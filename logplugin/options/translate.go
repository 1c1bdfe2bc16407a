package options

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/secretref/secretref/logplugin/references"
	"github.com/secretref/secretref/logplugin/router"
)

// native are options in the words of the router that serves them.
type native struct {
	kind       *router.Kind
	config     map[string]string
	attributes map[string]string // see router.Translated
	notes      []string
}

// native reads options. Those in the words of something else, such as FireLens, are translated.
func (r *Rules) native(given map[string]string) (native, error) {
	k, err := r.kindOf(given)
	if err != nil || k.Translate == nil {
		return native{kind: k, config: given}, err
	}
	foreign := router.Foreign{Plain: map[string]string{}, Docker: slices.Concat(Common(), dockers)}
	for name, value := range given {
		if name != logDriver && name != secretOptions && !isDotted(name) {
			foreign.Plain[name] = value
		}
	}
	if foreign.References, err = referenceTexts(given); err != nil {
		return native{}, err
	}
	name := k.Name
	done, err := k.Translate(foreign)
	if err != nil {
		return native{}, fmt.Errorf("%s %s: %w", logDriver, name, err)
	}
	config := maps.Clone(done.Plain)
	config[logDriver] = done.Router
	for option, text := range done.References {
		config[dot+option] = text
	}
	if k = r.kind(done.Router); k == nil {
		return native{}, fmt.Errorf("%s %s: %s is not a router here", logDriver, name, done.Router)
	}
	return native{k, config, done.Attributes, done.Notes}, nil
}

// referenceTexts reads both forms of secretOptions for a translation, which knows other options than a router. The list may also be
// empty, null, or an object of names and references, as tools that make task definitions write it.
func referenceTexts(given map[string]string) (map[string]string, error) {
	texts := map[string]string{}
	if list := strings.TrimSpace(given[secretOptions]); list != "" && list != "null" {
		entries, err := parseSecretOptions(list)
		if err != nil {
			var isMap bool
			if entries, isMap = references.ParseMap(list); !isMap {
				return nil, fmt.Errorf(`log-opt %s %w; write [{"name":"OPTION","valueFrom":"REFERENCE"}]`, secretOptions, err)
			}
		}
		for i, e := range entries {
			if _, twice := texts[e.Name]; twice {
				return nil, fmt.Errorf("log-opt %s names %q twice; remove entry %d or the other", secretOptions, e.Name, i+1)
			}
			texts[e.Name] = e.ValueFrom
		}
	}
	for _, key := range slices.Sorted(maps.Keys(given)) {
		if name := strings.TrimPrefix(key, dot); isDotted(key) && given[key] != "" {
			if _, twice := texts[name]; twice {
				return nil, givenTwice(secretOptions, key, name)
			}
			texts[name] = given[key]
		}
	}
	for name := range texts {
		if name == "" {
			return nil, errors.New("log-opt " + dot + " has no name behind the dot; write " + dot + "OPTION")
		}
	}
	return texts, nil
}
