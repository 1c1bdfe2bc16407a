// Package options reads a container's log options: which router its lines go to, with which options and which
// references, and what is fixed for the container's life, such as its tag.
//
// Parse is for StartLogging, where a mistake can still be told to whoever starts the container. It uses no network and
// is strict: an unknown option, two values for one thing, or a value where a reference belongs is an error that names
// the option and never shows what may be a secret. The result holds references and no secret values; of the
// container's environment it holds the picks of env and env-regex alone.
//
// The names are those of Docker's own drivers and of an ECS logConfiguration.
package options

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/secretref/secretref/logplugin/lines"
	"github.com/secretref/secretref/logplugin/references"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/shared/secretref"
)

// Names of options that are read here, whatever the router.
const (
	destination   = "destination"
	logDriver     = "logDriver"
	secretOptions = "secretOptions"
	secretFailure = "secret-failure"
	spoolMaxBytes = "spool-max-bytes"
)

// ours are the options that no Docker driver has.
var ours = []string{destination, logDriver, secretOptions, secretFailure, spoolMaxBytes}

// common are the options of every router, with Docker's meaning.
var common = []string{"tag", "labels", "labels-regex", "env", "env-regex"}

// ofLines are the options of every router that say which lines go there.
var ofLines = lines.Names()

// Common returns the names of the options that are the same for all routers.
func Common() []string { return slices.Concat(ours, common, ofLines) }

// dockers are read by the daemon and its cache for `docker logs`, and passed on to the plugin all the same.
var dockers = []string{
	"mode", "max-buffer-size", "max-size", "max-file", "compress",
	"cache-disabled", "cache-max-size", "cache-max-file", "cache-compress",
}

// Rules is what containers may ask for on this host. The zero value of each field but Kinds is usable.
type Rules struct {
	Kinds         []router.Kind
	References    references.Allowed
	AllowRouters  []string // patterns; nil = any address, empty = none
	AllowRoles    []string // patterns of roles that containers may name; nil and empty = none
	SpoolMaxBytes int64    // for containers that do not say; in bytes
	Hostname      string   // for {{.Hostname}} in a tag; "" = what the system says

	Destinations       map[string]map[string]string // by name: log options as a container would give them
	DefaultDestination string                       // for containers that name none; "" = none
	OnlyDestinations   bool                         // containers may not give the options of a connection themselves
}

// Options is what one container's log options mean.
type Options struct {
	Router        string
	Address       string                   // scheme://host:port, unix:///path or an ARN; "" when a reference gives it: then ask CheckAddresses; several have a blank between them
	Plain         Plain                    // the router's options that were written out, by name
	References    map[string]secretref.Ref // the router's options that are references, by name
	Tag           string                   // "" = none, when the router's Kind has EmptyTag
	Attributes    map[string]string        // picks of labels, labels-regex, env and env-regex
	About         router.About             // what else is known of the container
	Lines         lines.Options            // which of its lines are sent
	SpoolMaxBytes int64                    // 0 = the host's
	SecretFailure SecretFailure
	Destination   string   // the name of the one in the configuration that the rest comes from; "" = none
	Unnamed       bool     // it names no destination, and there was no default that could be read
	Own           Plain    // with a Destination, or Unnamed: those of Plain and of Lines that the container has given itself
	Notes         []string // what a person should know of how they were read; not part of a session's state
}

// Plain are options by name. Whatever prints or logs them shows the names alone: people write secrets into options.
type Plain map[string]string

// Format writes the names for every verb.
func (p Plain) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, slices.Sorted(maps.Keys(p))) }

// LogValue keeps the values out of log/slog.
func (p Plain) LogValue() slog.Value { return slog.AnyValue(slices.Sorted(maps.Keys(p))) }

// SecretFailure says what becomes of a container whose references cannot be resolved when it starts.
type SecretFailure string

// The three answers.
const (
	SecretFailureAuto  SecretFailure = ""      // it does not start if the failure is permanent and it never ran before
	SecretFailureFail  SecretFailure = "fail"  // it does not start
	SecretFailureStart SecretFailure = "start" // it starts, and its lines wait
)

// String returns the router's name and the names of the options.
func (o Options) String() string {
	return fmt.Sprintf("%s %v references %v", o.Router, slices.Sorted(maps.Keys(o.Plain)), slices.Sorted(maps.Keys(o.References)))
}

// Format writes String for every verb.
func (o Options) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, o.String()) }

// LogValue keeps everything but String out of log/slog.
func (o Options) LogValue() slog.Value { return slog.StringValue(o.String()) }

// parse reads a complete set of options. Whether they are allowed is not asked.
func (r *Rules) parse(config map[string]string, info Info) (Options, error) {
	n, err := r.native(config)
	if err != nil {
		return Options{}, err
	}
	return r.parseNative(n, info)
}

// parseNative is parse for options that are translated.
func (r *Rules) parseNative(n native, info Info) (Options, error) {
	k, config := n.kind, n.config
	o := Options{Router: k.Name, Plain: Plain{}, Notes: n.notes}
	err := r.known(k, config)
	if err != nil {
		return Options{}, err
	}
	if config, err = clean(k, config); err != nil {
		return Options{}, err
	}
	for name, value := range config {
		if k.Option(name) != nil {
			o.Plain[name] = value
		}
	}
	for _, name := range r.Unverified(o) {
		o.Notes = append(o.Notes, name+": the receiver's certificate is not verified, and anyone on the way can read the lines and the credentials")
	}
	if o.References, err = readReferences(k, config); err != nil {
		return Options{}, err
	}
	for _, name := range k.Names(func(o router.Option) bool { return o.Required }) {
		if _, ok := o.References[name]; !ok && o.Plain[name] == "" {
			return Options{}, fmt.Errorf("log-opt %s is required by logDriver %s; give it, or a reference to it as %s.%s",
				name, k.Name, secretOptions, name)
		}
	}
	if err := r.fix(&o, k, config, info); err != nil {
		return Options{}, err
	}
	if err := r.addAttributes(o.Attributes, n.attributes, info); err != nil {
		return Options{}, err
	}
	if o.Address, err = plainAddress(k, o); err != nil { // behind the templates, in which a log group may stand
		return Options{}, err
	}
	return o, nil
}

// Allowed holds o against allow_references and allow_routers, which may have changed since o was parsed. Its error is a
// *NotAllowedError. Destinations of the configuration are the host's own, and always allowed.
func (r *Rules) Allowed(o Options) error {
	if o.Destination != "" {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(o.References)) {
		if err := r.References.Check(o.References[name]); err != nil {
			return &NotAllowedError{"log-opt " + dot + name + ": " + err.Error()}
		}
	}
	k := r.kind(o.Router)
	if k == nil {
		return nil
	}
	if err := r.checkRoles(k, router.Options{Plain: o.Plain}.Unresolved()); err != nil {
		return &NotAllowedError{err.Error()}
	}
	for _, address := range strings.Fields(o.Address) {
		if errors.Is(r.checkRouter(k, address), errRouterNotAllowed) { // what is not known yet is looked at before lines are sent
			return &NotAllowedError{"log-opt " + strings.Join(k.Names(isAddress), ", ") + ": " + address + ": " + errRouterNotAllowed.Error()}
		}
	}
	return nil
}

// fix fills in what stays as it is for the container's life.
func (r *Rules) fix(o *Options, k *router.Kind, config map[string]string, info Info) (err error) {
	if o.Attributes, err = attributes(config, info); err != nil {
		return err
	}
	o.About = about(info)
	if !k.Command {
		o.About.Command = ""
	}
	if o.Lines, err = readLines(o, k, config); err != nil {
		return err
	}
	if o.Tag, err = r.tag(k, config, info, o.Attributes); err != nil {
		return err
	}
	for _, name := range k.Names(func(o router.Option) bool { return o.Template }) {
		if text := o.Plain[name]; text != "" {
			if o.Plain[name], err = r.renderOption(k.Option(name), text, info, o.Attributes); err != nil {
				return err
			}
		}
	}
	if text, ok := config[spoolMaxBytes]; ok {
		if o.SpoolMaxBytes, err = parseSize(text); err != nil {
			return fmt.Errorf("log-opt %s is %q, %w", spoolMaxBytes, text, err)
		}
	}
	switch f := SecretFailure(config[secretFailure]); f {
	case SecretFailureAuto, SecretFailureFail, SecretFailureStart:
		o.SecretFailure = f
	default:
		return fmt.Errorf("log-opt %s is %q; write fail or start, or leave it out", secretFailure, string(f))
	}
	return nil
}

// readLines reads the options that say which lines are sent. A router may have its own names for them.
func readLines(o *Options, k *router.Kind, config map[string]string) (lines.Options, error) {
	l := lines.Read(config)
	if k.Multiline != nil {
		v := router.Options{Plain: o.Plain}.Unresolved()
		pattern := k.Multiline(v)
		switch {
		case v.Err() != nil:
			return l, v.Err()
		case pattern != "" && l.MultilinePattern != "":
			return l, fmt.Errorf("log-opt %s and an option of logDriver %s both say where an event begins; give one", lines.MultilinePattern, k.Name)
		case pattern != "":
			l.MultilinePattern = pattern
		}
	}
	_, err := l.Compile()
	return l, err
}

// InPlain returns the names of the options that hold a credential and were written out, where docker inspect shows
// them.
func (r *Rules) InPlain(o Options) []string {
	k := r.kind(o.Router)
	if k == nil || o.Destination != "" { // docker inspect does not show a destination's options
		return nil
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(o.Plain)) {
		if l := k.Option(name); l != nil && l.Credential && o.Plain[name] != "" {
			names = append(names, name)
		}
	}
	return names
}

// Unverified returns the options by which the receiver's certificate is not verified.
func (r *Rules) Unverified(o Options) []string {
	k := r.kind(o.Router)
	if k == nil {
		return nil
	}
	var names []string
	for _, name := range k.Names(func(x router.Option) bool { return x.SkipsVerify }) {
		if skips, err := strconv.ParseBool(o.Plain[name]); err == nil && skips {
			names = append(names, name)
		}
	}
	return names
}

func (r *Rules) kind(name string) *router.Kind {
	if i := slices.IndexFunc(r.Kinds, func(k router.Kind) bool { return k.Name == name }); i >= 0 {
		return &r.Kinds[i]
	}
	return nil
}

func (r *Rules) kindOf(given map[string]string) (*router.Kind, error) {
	var known []string
	for _, k := range r.Kinds {
		known = append(known, k.Name)
	}
	name := strings.TrimSpace(given[logDriver])
	if name == "" {
		return nil, missingRouter(given, known)
	}
	if k := r.kind(name); k != nil {
		return k, nil
	}
	return nil, fmt.Errorf("log-opt %s names %q, which is not a router here; %s", logDriver, name, nearest(name, known))
}

// known refuses an option that the router does not know. One of another router without a value takes that option back.
func (r *Rules) known(k *router.Kind, given map[string]string) error {
	all := slices.Concat(Common(), dockers)
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if k.Option(name) != nil || slices.Contains(all, name) || isDotted(name) || given[name] == "" && r.owner(name) != "" {
			continue
		}
		return r.unknownOption(k, name)
	}
	return nil
}
