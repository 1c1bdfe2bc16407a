package router

import (
	"context"
	"strings"
)

// Kind describes one kind of log router: all that the rest of the log driver knows of it. Each router's package has one
// function that returns it, and logplugin/routers.go lists them.
type Kind struct {
	Name    string   // as logDriver gives it
	Options []Option // its own log options, each with its properties
	// Ports are the schemes of its addresses, with the port of an address that has none. "unix" has "".
	Ports map[string]string
	// Addresses reads where the options send lines to, all of it. Faults are in v. An address that depends on a value that
	// is not known yet is left out. nil means that the router has no address.
	Addresses func(v *Values) []Address
	// DefaultTag is the template of a tag that is not given; "" means {{.ID}}.
	DefaultTag string
	// EmptyTag says that tag="" means no tag at all. Otherwise it means the default.
	EmptyTag bool
	// Refused are options that another driver of this protocol has, and why they are refused here.
	Refused map[string]string
	// Pieces says that the router sends the pieces of a long line as they come. For others they are joined.
	Pieces bool
	// Translate makes the options of another router out of those that were given, with which New and all else then deal; nil means that
	// the options are the router's own.
	Translate func(Foreign) (Translated, error)
	// Serves are, with Translate, the foreign names that are served, each with the router that serves it.
	Serves map[string]string
	// Multiline reads from the router's own options what multiline-pattern says for all routers: the regular expression that the
	// first line of an event matches; "" means that the options do not say. Faults are in v. nil means that there are no such
	// options.
	Multiline func(v *Values) string
	// Permissions reads what AWS must allow to the sender, each once. An asterisk stands in a resource for what the options do not
	// say. They are not checked again. nil means that the router needs nothing of AWS.
	Permissions func(v *Values) []Permission
	// Command says that what the router sends has the container's command line in it. For others it is not kept: there may be
	// a secret in it.
	Command bool
	// New checks a container's log options, as far as that is possible without a secret. It uses no network.
	New func(Options) (Config, error)
}

// Permission is one action of AWS on one resource, as a policy of IAM names them.
type Permission struct{ Action, Resource string }

// Foreign are log options in the words of something else, for a Translate.
type Foreign struct {
	Plain      map[string]string
	References map[string]string // option to valueFrom
	Docker     []string          // options that have Docker's or the log driver's meaning where the foreign one has none
}

// Translated are the options of a router that is known here.
type Translated struct {
	Router     string
	Plain      map[string]string
	References map[string]string
	// Attributes are members that each record has besides the picks of labels and env, as templates. One of the same name that is picked
	// comes before it, and one that gives nothing is left out.
	Attributes map[string]string
	Notes      []string // what a person should know of the translation, one line each, without a value that may be a secret
}

// Config is a router's checked log options.
type Config interface {
	// Router makes the router. It connects when there is something to send.
	Router() Router
	// Batches is how many of the router's batches may be under way at once; 0 means the default of package delivery.
	Batches() int
	// Encoder asks the sources of the session's options, if any are secrets. Its error is an *Error.
	Encoder(ctx context.Context, s Session) (Encoder, error)
}

// Option is one log option of a router.
type Option struct {
	Name string
	// Default is the value when the option is not given, as one would write it.
	Default string
	// Required says that the router cannot work without the option.
	Required bool
	// Credential says that the option holds a credential, and is better given as a reference.
	Credential bool
	// Address says that the option is the address of the receiver or a part of it.
	Address bool
	// Role says that the option is the ARN of a role to assume: a container may only name one that the host allows.
	Role bool
	// Session says that the option is the encoder's. Sessions whose other options are the same may share a router.
	Session bool
	// Apart says that sessions which differ in the option do not share a router, though it is the encoder's: the receiver
	// refuses a whole batch for one wrong value, and all who share the router would wait.
	Apart bool
	// Template says that the option's value is a template like that of tag.
	Template bool
	// Pairs says that the value is NAME=VALUE,NAME=VALUE, as the function Pairs reads it. With Template each VALUE is a
	// template.
	Pairs bool
	// Family says that the option is one of many, NAME.anything, as an HTTP header is. NAME alone is not an option.
	Family bool
	// SkipsVerify says that the option, when it is true, has the receiver's certificate not verified.
	SkipsVerify bool
	// Ignored says that the option is taken and checked because Docker's driver has it, and has no effect here.
	Ignored bool
}

// IsConnection reports whether sessions that differ in the option use different routers.
func (o Option) IsConnection() bool { return !o.Session || o.Apart }

// Option returns the option of that name, or nil. That of a family's member is the family's.
func (k *Kind) Option(name string) *Option { return find(k.Options, name) }

func find(list []Option, name string) *Option {
	for i := range list {
		if o := &list[i]; o.Name == name && !o.Family || o.Family && len(name) > len(o.Name)+1 && strings.HasPrefix(name, o.Name+".") {
			return o
		}
	}
	return nil
}

// Names returns the names of all options that want accepts; nil accepts all. A family is written OPTION.NAME.
func (k *Kind) Names(want func(Option) bool) []string {
	var names []string
	for _, o := range k.Options {
		switch {
		case want != nil && !want(o):
		case o.Family:
			names = append(names, o.Name+".NAME")
		default:
			names = append(names, o.Name)
		}
	}
	return names
}
