// Package awslogs sends container logs to Amazon CloudWatch Logs.
//
// Use it through package router. The options are those of Docker's driver of that name, and what they mean is the same.
//
// It promises at-least-once delivery: an event is delivered when CloudWatch Logs has accepted the request with it. A request never
// has more than CloudWatch Logs takes, whatever is in a batch, and its events are in the order of their times. Events that are
// refused for their age are counted. A stream that cannot be written to does not hold up others.
//
// Protocol: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
package awslogs

import (
	"context"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/secretref/secretref/logplugin/awsrouter"
	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/router"
)

const (
	group           = "awslogs-group"
	stream          = "awslogs-stream"
	streamPrefix    = "awslogs-stream-prefix"
	createGroup     = "awslogs-create-group"
	createStream    = "awslogs-create-stream"
	datetimeFormat  = "awslogs-datetime-format"
	multiline       = "awslogs-multiline-pattern"
	flushInterval   = "awslogs-force-flush-interval-seconds"
	bufferedEvents  = "awslogs-max-buffered-events"
	format          = "awslogs-format"
	retention       = "awslogs-retention-days"
	class           = "awslogs-group-class"
	groupTags       = "awslogs-group-tags"
	embeddedMetrics = "json/emf"
	op              = "read awslogs log-opts"
)

func service() awsrouter.Service {
	return awsrouter.Service{Name: "logs", SDKID: "CloudWatch Logs", Target: "Logs_20140328.", Prefix: "awslogs", Resource: "log-group:"}
}

func options() []router.Option {
	return slices.Concat([]router.Option{
		{Name: group, Required: true, Address: true, Template: true},
		{Name: stream, Session: true, Apart: true},
		{Name: streamPrefix, Session: true},
		{Name: multiline, Session: true},
		{Name: datetimeFormat, Session: true},
		{Name: createGroup, Default: "false"},
		{Name: createStream, Default: "true"},
		{Name: format},
		{Name: retention},
		{Name: class},
		{Name: groupTags, Pairs: true},
		fluentbit.Option("awslogs"),
		{Name: flushInterval, Default: "5", Ignored: true},
		{Name: bufferedEvents, Default: "4096", Ignored: true},
	}, service().Options())
}

// Kind describes the router on a host.
func Kind(h *awsrouter.Host) router.Kind {
	made := newCreations()
	return router.Kind{
		Name: "awslogs", Options: options(), Ports: awsrouter.Ports(), DefaultTag: "{{.FullID}}", Multiline: firstLine,
		Addresses: func(v *router.Values) []router.Address {
			if v.Waits(group) {
				return nil
			}
			return h.Addresses(service(), v, groupOf(v))
		},
		Permissions: func(v *router.Values) []router.Permission { return permissions(h, v) },
		New: func(o router.Options) (router.Config, error) {
			c := Config{options: o, host: h, made: made}
			return c, c.check()
		},
	}
}

// Config is a checked set of options. Only Kind makes one.
type Config struct {
	options router.Options
	host    *awsrouter.Host
	made    *creations
}

// check looks at the options as far as that is possible without asking for a secret.
func (c Config) check() error {
	v := c.options.Unresolved()
	settingsOf(v)
	fluentbit.Read(v, "awslogs")
	service().Check(v)
	v.Int(flushInterval, 5, 1, 1<<31)
	v.Int(bufferedEvents, 4096, 1, 1<<31)
	if v.Has(stream) && v.Has(streamPrefix) {
		v.Refuse("log-opts %s and %s both name the stream; give one", stream, streamPrefix)
	}
	for _, name := range []string{multiline, datetimeFormat} {
		if v.IsSecret(name) {
			v.Refuse("log-opt %s cannot be given by reference: lines are joined before secrets are asked for; write it out", name)
		}
	}
	for _, name := range []string{stream, streamPrefix} {
		if v.Has(name) && !v.Waits(name) && !isStream(v.String(name, "")) {
			v.Refuse("log-opt %s: %s is not a name of a log stream, which has up to %d characters and neither a colon nor an asterisk", name, v.Shown(name), maxStreamName)
		}
	}
	return v.Err()
}

// Batches implements router.Config. A request is for one stream, so that many containers need many of them.
func (c Config) Batches() int { return 4 }

// Router implements router.Config.
func (c Config) Router() router.Router {
	return &Router{made: c.made, client: awsrouter.NewClient(c.host, awsrouter.ClientConfig{Service: service(), Op: op, Options: c.options, List: options()})}
}

// Encoder implements router.Config.
func (c Config) Encoder(ctx context.Context, s router.Session) (router.Encoder, error) {
	return c.options.NewEncoder(ctx, op, options(), func(v *router.Values) router.Encoder { return encoderOf(v, s) })
}

// encoderOf makes the encoder of a session; the faults are in v. Docker's driver names the stream by the option for it, else by
// the tag; ECS by a prefix, the container and the task, which is the container here.
func encoderOf(v *router.Values, s router.Session) *Encoder {
	e := &Encoder{stream: v.String(stream, "")}
	if fluentbit.Read(v, "awslogs") != nil {
		e.record = fluentbit.NewRecord(s, fluentbit.Shape{}, maxMessage/2)
	}
	if prefix := v.String(streamPrefix, ""); prefix != "" && e.stream == "" {
		e.stream = prefix + "/" + strings.TrimPrefix(s.ContainerName, "/") + "/" + s.ContainerID
	}
	if e.stream == "" {
		e.stream = s.Tag
	}
	if !isStream(e.stream) && !v.IsSecret(stream) && !v.IsSecret(streamPrefix) {
		v.Refuse("the log stream %q, which is made of the tag or of %s, is not a name of a log stream: give up to %d characters, and neither a colon nor an asterisk, as with tag={{with split .ImageName \":\"}}{{join . \"_\"}}{{end}}/{{.ID}}", e.stream, streamPrefix, maxStreamName)
	} else if !isStream(e.stream) {
		v.Refuse("the name of the log stream that a reference gives is not one of a log stream: give up to %d characters, and neither a colon nor an asterisk", maxStreamName)
	}
	return e
}

// permissions are those of the calls that the options lead to. AWS asks for what is done to a group as for an operation on the group in
// some places, and on its streams in others.
func permissions(h *awsrouter.Host, v *router.Values) []router.Permission {
	of := h.Resource(service(), v, v.String(group, "*"))
	streams := of + ":log-stream:" + streamsOf(v, "*")
	all := []router.Permission{{Action: "logs:PutLogEvents", Resource: streams}}
	if v.Bool(createStream, true) {
		all = append(all, router.Permission{Action: "logs:CreateLogStream", Resource: streams})
	}
	if v.Bool(createGroup, v.Waits(createGroup)) && v.Bool(createStream, true) {
		for _, resource := range []string{of, of + ":*"} {
			all = append(all, router.Permission{Action: "logs:CreateLogGroup", Resource: resource})
			if v.Has(groupTags) {
				all = append(all, router.Permission{Action: "logs:TagResource", Resource: resource})
			}
			if v.Has(retention) {
				all = append(all, router.Permission{Action: "logs:PutRetentionPolicy", Resource: resource})
			}
		}
	}
	return append(all, service().Assumes(v)...)
}

// streamsOf names the streams that the options lead to, with rest in the place of what differs from container to container.
func streamsOf(v *router.Values, rest string) string {
	if name := v.String(stream, ""); name != "" {
		return name
	}
	if prefix := v.String(streamPrefix, ""); prefix != "" {
		return prefix + "/" + rest
	}
	return rest
}

// settings are what the options say of the requests.
type settings struct {
	group                     string
	createGroup, createStream bool
	metrics                   bool   // lines are in the embedded metric format
	retention                 int64  // days, of a group that is created; 0 = for ever
	class                     string // likewise; "" = the standard one
	tags                      map[string]string
}

// retentions are the days that CloudWatch Logs knows.
var retentions = []int64{0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

// settingsOf reads them; the faults are in v.
func settingsOf(v *router.Values) settings {
	s := settings{group: groupOf(v), createGroup: v.Bool(createGroup, false), createStream: v.Bool(createStream, true)}
	if s.retention = v.Int(retention, 0, 0, 3653); !slices.Contains(retentions, s.retention) {
		v.Refuse("log-opt %s: %s is not a number of days that CloudWatch Logs knows, such as 7, 30 or 365", retention, v.Shown(retention))
	}
	if v.Has(class) {
		s.class = v.OneOf(class, "STANDARD", "INFREQUENT_ACCESS")
	}
	if v.Has(groupTags) && !v.Waits(groupTags) {
		s.tags = tagsOf(v)
	}
	if (v.Has(class) || v.Has(retention) || v.Has(groupTags)) && !s.createGroup && !v.Waits(createGroup) {
		v.Refuse("log-opts %s, %s and %s are for a group that is created; give %s=true, or remove them", retention, class, groupTags, createGroup)
	}
	if v.Has(format) && !v.Waits(format) {
		if s.metrics = v.String(format, "") == embeddedMetrics; !s.metrics {
			v.Refuse("log-opt %s: %s is not a format that there is; write %s, or leave it out", format, v.Shown(format), embeddedMetrics)
		}
	}
	return s
}

// CloudWatch Logs' limits of the tags of a group, in characters.
const (
	maxTags     = 50
	maxTagName  = 128
	maxTagValue = 256
)

// tagsOf reads the tags of a group that is created; the faults are in v.
func tagsOf(v *router.Values) map[string]string {
	tags := map[string]string{}
	bad := func(c rune) bool {
		return !unicode.IsLetter(c) && !unicode.IsDigit(c) && !unicode.IsSpace(c) && !strings.ContainsRune("_.:/=+-@", c)
	}
	for _, p := range v.Pairs(groupTags, "") {
		if tags[p.Name] = p.Value; utf8.RuneCountInString(p.Name) > maxTagName || utf8.RuneCountInString(p.Value) > maxTagValue ||
			strings.HasPrefix(strings.ToLower(p.Name), "aws:") || strings.ContainsFunc(p.Name+p.Value, bad) {
			v.Refuse("log-opt %s: %s has a tag that CloudWatch Logs does not take: a name has up to %d characters and does not begin with aws:, a value has up to %d, and both have letters, digits, blanks and _.:/=+-@",
				groupTags, v.Shown(groupTags), maxTagName, maxTagValue)
		}
	}
	if len(tags) > maxTags {
		v.Refuse("log-opt %s has %d tags; CloudWatch Logs takes %d", groupTags, len(tags), maxTags)
	}
	return tags
}

const (
	maxGroupName  = 512
	maxStreamName = 512
)

// groupOf reads the name of the log group; the faults are in v.
func groupOf(v *router.Values) string {
	name := v.String(group, "")
	bad := func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._-/#", c))
	}
	if !v.Waits(group) && (name == "" || len(name) > maxGroupName || strings.ContainsFunc(name, bad)) {
		v.Refuse("log-opt %s: %s is not a name of a log group, which has up to %d letters, digits and ._-/#", group, v.Shown(group), maxGroupName)
	}
	return name
}

func isStream(name string) bool {
	return name != "" && len(name) <= maxStreamName && !strings.ContainsAny(name, ":*")
}
