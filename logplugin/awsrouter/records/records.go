// Package records is what the routers to Amazon Data Firehose and to Amazon Kinesis Data Streams share: both services take up to 500
// records in a request, each in base64, and answer record by record.
//
// Use it from a router's package, which says in a Stream what its service calls things. A record is a JSON object of one line with a
// newline behind it, with the names of ECS: container_id, container_name, source and log.
//
// It promises at-least-once delivery: what a service has accepted is not sent again, and a request never has more than the service
// takes. Where a service does not take a record and takes those behind it, they change places: it keeps no order then.
package records

import (
	"strings"

	"github.com/secretref/secretref/logplugin/awsrouter"
	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/router"
)

const (
	maxRecords = 500
	maxText    = 900_000 // of a line, in JSON: a record may have 1,000 KiB
	maxAttrs   = 64 << 10
	maxKey     = 256     // characters of a partition key
	maxAnswer  = 1 << 20 // the id of a record has 224 bytes, and the reason of one that was not taken may have more
)

// Stream says how a service and its router differ from the other.
type Stream struct {
	Service   awsrouter.Service
	Title     string // of the service, for errors: "Firehose"
	Operation string // that puts records: "PutRecordBatch"
	Member    string // of a request, with the name of the stream: "DeliveryStreamName"
	Taken     string // the member of an answer that a record has which was taken: "RecordId"
	Longest   int    // letters of the name of a stream
	MaxBytes  int    // of a request. A record has more of them in base64 than the service counts for it
	// Keyed says that a record has a partition key, and that there is an option for it.
	Keyed bool
	// Compressions are the words for how Fluent Bit compresses a record.
	Compressions []string
}

func (s *Stream) name() string { return s.Service.Prefix + "-stream" }

func (s *Stream) key() string { return s.Service.Prefix + "-partition-key" }

func (s *Stream) options() []router.Option {
	all := append([]router.Option{{Name: s.name(), Required: true, Address: true}, fluentbit.Option(s.Service.Prefix)}, s.Service.Options()...)
	if s.Keyed {
		all = append(all, router.Option{Name: s.key(), Session: true, Template: true, Default: "{{.FullID}}"})
	}
	return all
}

// Kind describes the router to the service on a host.
func (s Stream) Kind(h *awsrouter.Host) router.Kind {
	s.Service.Answer = maxAnswer
	parts := router.Parts{
		Op: "read " + s.Service.Prefix + " log-opts", List: s.options(),
		Check: func(_ router.Options, v *router.Values) {
			s.read(v)
			s.Service.Check(v)
		},
		Encoder: func(v *router.Values, session router.Session) router.Encoder { return s.encoder(v, session) },
	}
	parts.Router = func(o router.Options) router.Router {
		return &Router{stream: s, client: awsrouter.NewClient(h, awsrouter.ClientConfig{Service: s.Service, Op: parts.Op, Options: o, List: parts.List})}
	}
	return router.Kind{
		Name: s.Service.Prefix, Options: parts.List, Ports: awsrouter.Ports(), New: parts.Config,
		Addresses: func(v *router.Values) []router.Address {
			if v.Waits(s.name()) {
				return nil
			}
			return h.Addresses(s.Service, v, s.read(v))
		},
		Permissions: func(v *router.Values) []router.Permission {
			put := router.Permission{Action: s.Service.Name + ":" + s.Operation, Resource: h.Resource(s.Service, v, v.String(s.name(), "*"))}
			return append([]router.Permission{put}, s.Service.Assumes(v)...)
		},
	}
}

// read reads the name of the stream; the faults are in v.
func (s *Stream) read(v *router.Values) string {
	name := v.String(s.name(), "")
	bad := func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._-", c))
	}
	if !v.Waits(s.name()) && (name == "" || len(name) > s.Longest || strings.ContainsFunc(name, bad)) {
		v.Refuse("log-opt %s: %s is not a name of a stream, which has up to %d letters, digits and ._-", s.name(), v.Shown(s.name()), s.Longest)
	}
	return name
}
