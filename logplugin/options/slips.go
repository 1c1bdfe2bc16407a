package options

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/secretref/secretref/logplugin/lines"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/shared/config"
)

// takeBack says how a container undoes what log-opts in daemon.json give to all containers.
const takeBack = "if it comes from log-opts in daemon.json, an empty value takes it back: --log-opt %s="

// clean returns the options that have a value, without the blanks around it, which mean nothing in an option that is read
// here. An empty value takes an option back that comes from daemon.json. The options with Docker's meaning and patterns stay as
// they are: an empty tag means something, and so does a blank in it.
func clean(k *router.Kind, given map[string]string) (map[string]string, error) {
	kept := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		value := given[name]
		if o := k.Option(name); !slices.Contains(common, name) && !lines.IsPattern(name) && (o == nil || !o.Credential) {
			value = strings.TrimSpace(value)
			if isQuoted(value) {
				return nil, fmt.Errorf("log-opt %s: there are quotes around its value; remove them, or let a shell or YAML do it", name)
			}
		}
		if value != "" || name == "tag" {
			kept[name] = value
		}
	}
	return kept, nil
}

// isQuoted reports whether a shell, an env file or YAML has left quotes around a value.
func isQuoted(value string) bool {
	n := len(value)
	return n > 1 && (value[0] == '"' || value[0] == '\'' || value[0] == '`') && value[n-1] == value[0]
}

// meant returns the known name that was written with other case, hyphens, blanks or quotes, or "".
func meant(name string, known []string) string {
	i := slices.IndexFunc(known, func(k string) bool { return config.Letters(k) == config.Letters(name) })
	if i < 0 {
		return ""
	}
	return known[i]
}

// dotted returns secretOptions.OPTION for a name that was meant as one, such as secretOption.OPTION, or "".
func dotted(name string, own []string) string {
	i := strings.IndexAny(name, ".:/=")
	if i < 0 {
		return ""
	}
	switch config.Letters(name[:i]) {
	case "secretoptions", "secretoption", "secretopts", "secretopt", "secrets", "secret":
	default:
		return ""
	}
	option := strings.TrimSpace(name[i+1:])
	if near := meant(option, own); near != "" {
		option = near
	} else if near := config.Nearest(option, own); near != "" {
		option = near
	}
	return dot + option
}

// nearest says which known name may have been meant.
func nearest(name string, known []string) string {
	near := meant(name, known)
	if near == "" {
		near = config.Nearest(name, known)
	}
	if near != "" {
		return "did you mean " + near + "?"
	}
	return "known are " + strings.Join(slices.Sorted(slices.Values(known)), ", ")
}

// missingRouter explains an absent logDriver by what was given in its place.
func missingRouter(given map[string]string, routers []string) error {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if l := config.Letters(name); name != logDriver && (l == config.Letters(logDriver) || l == "driver" || l == "router" || l == "type") {
			return fmt.Errorf("log-opt %q is not known; did you mean %s?", name, logDriver)
		}
	}
	return fmt.Errorf("log-opt %s is missing; it names the log router: %s", logDriver, strings.Join(routers, ", "))
}

// unknownOption explains an option that the router of k does not have.
func (r *Rules) unknownOption(k *router.Kind, name string) error {
	if why := k.Refused[name]; why != "" {
		return fmt.Errorf("log-opt %s is not supported by logDriver %s: %s", name, k.Name, why)
	}
	own := k.Names(nil)
	hint := nearest(name, slices.Concat(own, Common(), dockers))
	if near := dotted(name, own); near != "" {
		hint = "did you mean " + near + "?"
	} else if other := r.owner(name); other != "" {
		hint = "it belongs to logDriver " + other + "; " + fmt.Sprintf(takeBack, name)
	}
	return fmt.Errorf("log-opt %q is unknown to logDriver %s; %s", name, k.Name, hint)
}

// owner returns the router that has the option, or "".
func (r *Rules) owner(option string) string {
	for _, k := range r.Kinds {
		if k.Option(option) != nil {
			return k.Name
		}
	}
	return ""
}

// givenTwice is the error about one option that two log-opts give.
func givenTwice(first, second, option string) error {
	return fmt.Errorf("log-opts %s and %s both give %s; remove one; "+takeBack, first, second, option, second)
}
