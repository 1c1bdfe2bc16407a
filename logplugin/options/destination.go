package options

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/secretref/secretref/logplugin/router"
)

// Parse reads the log options of the container that info describes. An empty value counts as no value, so that a container
// can take back what daemon.json gives to all; an empty tag is Docker's. Its error is one line about the first mistake. With a
// *NotAllowedError the Options are complete all the same.
//
// A container that names a destination of the configuration, or none at all where there is a default, gets that one's options.
// It may give the options of its own lines besides, and nothing that says where or with what to connect: else it could
// send the host's credentials elsewhere.
func (r *Rules) Parse(config map[string]string, info Info) (Options, error) {
	name, err := r.destinationOf(config)
	if err == nil && name != "" {
		var o Options
		if o, err = r.parseNamed(name, config, info); err == nil {
			return o, nil
		}
	}
	if err != nil {
		return r.unfinished(config, info), err
	}
	o, err := r.parse(config, info)
	if err != nil && !r.connects(config) {
		return r.unfinished(config, info), err
	}
	if err != nil {
		return o, err
	}
	return o, r.Allowed(o)
}

// destinationOf returns the name of the destination that a container's options mean; "" = they say themselves where to go.
func (r *Rules) destinationOf(given map[string]string) (string, error) {
	known := slices.Sorted(maps.Keys(r.Destinations))
	name := strings.TrimSpace(given[destination])
	switch {
	case name != "" && r.Destinations[name] != nil:
		return name, nil
	case name != "" && len(known) == 0:
		return "", fmt.Errorf("log-opt %s names %q, and no destination is configured; add [logs.destinations.%s]", destination, name, name)
	case name != "":
		return "", fmt.Errorf("log-opt %s names %q, which is not a destination under [logs.destinations]; %s", destination, name, nearest(name, known))
	case r.DefaultDestination != "" && !r.connects(given):
		return r.DefaultDestination, nil
	case r.OnlyDestinations && len(known) == 0:
		return "", errors.New("containers may only name a destination, because of allow_options in [logs], and none is configured; add a table [logs.destinations.NAME]")
	case r.OnlyDestinations:
		return "", fmt.Errorf("containers may only name a destination, because of allow_options in [logs]; give --log-opt %s=NAME with one of %s", destination, strings.Join(known, ", "))
	}
	return "", nil
}

// connects reports whether options say where to connect, or with what.
func (r *Rules) connects(given map[string]string) bool {
	for name, value := range given {
		if value != "" && (name == logDriver || name == secretOptions || isDotted(name)) {
			return true
		}
	}
	return false
}

// parseNamed reads the options of a container whose lines go to a destination of the configuration.
func (r *Rules) parseNamed(name string, given map[string]string, info Info) (Options, error) {
	n, err := r.native(r.Destinations[name])
	if err != nil {
		return Options{}, inDestination(name, err)
	}
	k, own := n.kind, Plain{}
	all := maps.Clone(n.config)
	for _, option := range slices.Sorted(maps.Keys(given)) {
		value := given[option]
		switch o := k.Option(option); {
		case option == destination:
			continue
		case o != nil && o.Session && !o.Credential && !o.Address, slices.Contains(ofLines, option):
			own[option] = value
		case slices.Contains(common, option), slices.Contains(dockers, option), option == spoolMaxBytes, option == secretFailure:
		case value == "": // takes back what daemon.json gives
			continue
		default:
			return Options{}, fmt.Errorf("log-opt %q cannot be given together with %s=%s, which says where lines go and with which credentials; remove it (%s)",
				option, destination, name, fmt.Sprintf(takeBack, option))
		}
		all[option] = value
	}
	n.config = all
	o, err := r.parseNative(n, info)
	if err != nil {
		return Options{}, inDestination(name, err)
	}
	for option := range own {
		if !slices.Contains(ofLines, option) {
			own[option] = o.Plain[option] // a template is rendered
		}
	}
	for _, option := range k.Options { // what its templates gave stays as it is for the container's life
		if text, ok := o.Plain[option.Name]; ok && option.Template && text != all[option.Name] {
			own[option.Name] = text
		}
	}
	o.Destination, o.Own = name, own
	return o, nil
}

// unfinished returns what can be known of a container whose destination cannot be read at present: enough to go on with it
// once the configuration is fixed.
func (r *Rules) unfinished(given map[string]string, info Info) Options {
	o := Options{Destination: strings.TrimSpace(given[destination]), Own: Plain{}, Plain: Plain{}}
	if o.Unnamed = o.Destination == "" && !r.connects(given); !o.Unnamed && o.Destination == "" {
		return Options{}
	}
	for option, value := range given {
		isOwn := func(k router.Kind) bool { x := k.Option(option); return x != nil && x.Session && !x.Credential }
		if slices.ContainsFunc(r.Kinds, isOwn) || slices.Contains(ofLines, option) {
			o.Own[option] = value
		}
	}
	_ = r.fix(&o, &router.Kind{}, given, info) // what it cannot read has its default
	for option, text := range o.Own {
		i := slices.IndexFunc(r.Kinds, func(k router.Kind) bool { x := k.Option(option); return x != nil && x.Template })
		if i < 0 {
			continue
		}
		if rendered, err := r.renderOption(r.Kinds[i].Option(option), text, info, o.Attributes); err == nil {
			o.Own[option] = rendered
		}
	}
	return o
}

func inDestination(name string, err error) error {
	return fmt.Errorf("destination %s under [logs.destinations]: %w", name, err)
}

// Expand returns o, which comes from the state of an earlier process, with what its destination says today. info is what is known of the
// container besides o.
func (r *Rules) Expand(o Options, info Info) (Options, error) {
	if o.Unnamed {
		o.Destination = r.DefaultDestination
	}
	switch {
	case o.Unnamed && o.Destination == "":
		return o, errors.New("the container names no destination, and there is no default_destination under [logs]; add one, or give the lines up with forget --discard")
	case o.Destination == "":
		return o, nil
	}
	if r.Destinations[o.Destination] == nil {
		return o, fmt.Errorf("destination %s is not configured any more; add [logs.destinations.%s] again, or give the lines up with forget --discard", o.Destination, o.Destination)
	}
	n, err := r.native(r.Destinations[o.Destination])
	if err != nil {
		return o, inDestination(o.Destination, err)
	}
	k := n.kind
	all := maps.Clone(n.config)
	rendered := Plain{}
	for option, value := range o.Own {
		switch x := k.Option(option); {
		case slices.Contains(ofLines, option):
			all[option] = value
		case x == nil || !x.Session && !x.Template: // the destination has another router now
		case x.Template && x.Session:
			rendered[option] = value
			delete(all, option)
		default:
			all[option] = value
		}
	}
	info.ContainerImageName, info.ContainerImageID, info.ContainerCreated = o.About.Image, o.About.ImageID, o.About.Created
	full, err := r.parse(all, info)
	if err != nil {
		return o, inDestination(o.Destination, err)
	}
	maps.Copy(full.Plain, rendered)
	full.Destination, full.Own = o.Destination, o.Own
	full.About = o.About
	full.Tag, full.Attributes, full.SpoolMaxBytes, full.SecretFailure = o.Tag, o.Attributes, o.SpoolMaxBytes, o.SecretFailure
	return full, nil
}

// WrongDestinations returns what is wrong with the destinations of the configuration, by name.
func (r *Rules) WrongDestinations() map[string]error {
	wrong := map[string]error{}
	for name := range r.Destinations {
		if _, err := r.parseNamed(name, nil, Info{ContainerID: strings.Repeat("0", 64), ContainerName: "/check"}); err != nil {
			wrong[name] = err
		}
	}
	return wrong
}
