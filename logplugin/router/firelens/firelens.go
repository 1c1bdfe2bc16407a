// Package firelens translates the options of Amazon ECS FireLens, which are those of an output of Fluent Bit, into those of the
// routers here. Use it with `logDriver=awsfirelens`: it has no receiver of its own.
//
// It promises that a configuration means here what it means on ECS, that the payload is Fluent Bit's, and that what cannot be
// kept is refused in words, or stands in Differences. It looks at no container and asks for no secret, so that the same options
// always give the same result. It refuses what Fluent Bit gets wrong in silence: a switch that is none, a format that it does
// not know, a credential that would be sent without TLS.
//
// Options: https://docs.fluentbit.io/manual/data-pipeline/outputs
package firelens

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/shared/config"
)

// Name is what logDriver has for it, as on ECS.
const Name = "awsfirelens"

// Kind describes the translation.
func Kind() router.Kind {
	return router.Kind{
		Name: Name, Translate: Translate, Serves: Outputs(),
		New: func(router.Options) (router.Config, error) {
			return nil, errors.New(Name + " options were not translated") // whoever reads options translates them first
		},
	}
}

// output is one output of Fluent Bit, or of a plugin in the images of AWS and of vendors.
type output struct {
	names   []string // the first is the usual one
	router  string   // the router here that serves it
	why     string   // it is not served: what to do. "" means that it is served
	options []option
	tls     tlsOptions
	// build gives the options that are not simply renamed.
	build func(*translation)
}

// form is how an option's value is read.
type form int

const (
	text      form = iota // as it is
	template              // may have variables, because the router's own option is a template
	toggle                // on, off and the like
	ignored               // taken and without effect here
	refused               // not supported, with the reason
	refusedOn             // a switch that is refused when it is on
)

// option is one option of an output.
type option struct {
	name    string // in small letters
	form    form
	to      string // the router's option; "" means that build reads it
	setting bool   // it changes the payload, and goes into the router's PREFIX-fluent-bit under its own name
	repeats bool   // it may stand several times
	why     string // with refused: what to do; with ignored: why, or nothing
}

// options returns options of one form, for one reason.
func options(f form, why string, names ...string) (all []option) {
	for _, name := range names {
		all = append(all, option{name: name, form: f, why: why})
	}
	return all
}

// outputs lists all that are served and those of which something can be said.
func outputs() []output {
	served := []output{
		httpOutput(), datadogOutput(), splunkOutput(), lokiOutput(), grafanaLokiOutput(), newrelicOutput(), nrlogsOutput(), opentelemetryOutput(),
		forwardOutput(), nullOutput(), esOutput(), opensearchOutput(),
		cloudwatchLogsOutput(), cloudwatchOutput(), firehoseOutput(), oldFirehoseOutput(), kinesisOutput(), oldKinesisOutput(), syslogOutput(), gelfOutput(), tcpOutput(), logdnaOutput(), s3Output(),
	}
	return append(served, notServed()...)
}

// Outputs returns the names of the outputs that are served, each with the router that serves it.
func Outputs() map[string]string {
	served := map[string]string{}
	for _, o := range outputs() {
		if o.why == "" {
			for _, name := range o.names {
				served[name] = o.router
			}
		}
	}
	return served
}

// find returns the output of a name in any case.
func find(name string) (output, error) {
	var known []string
	for _, o := range outputs() {
		if slices.Contains(o.names, strings.ToLower(name)) {
			if o.why != "" {
				return o, fmt.Errorf("output %s is not supported: %s", name, o.why)
			}
			return o, nil
		}
		if o.why == "" {
			known = append(known, o.names...)
		}
	}
	if near := config.Nearest(strings.ToLower(name), known); near != "" {
		return output{}, fmt.Errorf("%q is not an output of Fluent Bit that is known here; did you mean %s?", name, near)
	}
	return output{}, fmt.Errorf("%q is not an output of Fluent Bit that is known here; known are %s. Most vendors take http or opentelemetry", name, strings.Join(slices.Sorted(slices.Values(known)), ", "))
}

// errNoName is the error about options without Name: on ECS the destination then stands in a file of the log router.
var errNoName = errors.New("the option Name is missing: it names the output of Fluent Bit, as in Name=http. A custom Fluent Bit configuration is not read; " +
	"give the options of its [OUTPUT] here, or run that Fluent Bit on the host and send to it with Name=forward")

// Translate gives the options of the router that serves an output. Its error names options as they were written, and shows no value
// that may be a secret.
func Translate(given router.Foreign) (router.Translated, error) {
	t, err := read(given)
	if err != nil {
		return router.Translated{}, err
	}
	if t.out, err = find(t.outputName); err != nil {
		return router.Translated{}, err
	}
	t.sort()
	if t.err == nil {
		t.common()
	}
	if t.err == nil {
		t.move()
	}
	if t.err == nil {
		t.secure()
		t.out.build(t)
	}
	if t.err != nil {
		return router.Translated{}, fmt.Errorf("output %s: %w", t.outputName, t.err)
	}
	if len(t.settings) > 0 {
		t.plain[t.out.router+"-fluent-bit"] = router.JoinPairs(t.settings)
	}
	if t.plain["tag"] == "" { // an empty one takes back that of daemon.json
		t.plain["tag"] = defaultTag
	}
	return router.Translated{Router: t.out.router, Plain: t.plain, References: t.refs, Attributes: t.withMetadata(), Notes: t.notes}, nil
}

// defaultTag is the tag of Fluent Bit's records, which on ECS ends in the id of the task.
const defaultTag = "{{.Name}}-firelens-{{.ID}}"

// known returns the names of all options that the output may have.
func (o output) known() []string {
	names := slices.Collect(maps.Keys(agentOptions))
	for _, list := range [][]option{o.options, commonOptions} {
		for _, x := range list {
			names = append(names, x.name)
		}
	}
	return names
}

// option returns the option of that name; own ones come before those that all outputs have.
func (o output) option(name string) *option {
	for _, list := range [][]option{o.options, commonOptions} {
		for i := range list {
			if list[i].name == name {
				return &list[i]
			}
		}
	}
	return nil
}
