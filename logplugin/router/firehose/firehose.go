// Package firehose sends container logs to a stream of Amazon Data Firehose.
//
// Use it through package router. A record is a JSON object of one line with a newline behind it, with the names of ECS: container_id,
// container_name, source and log.
//
// It promises at-least-once delivery: Firehose answers record by record, and what it has accepted is not sent again. A request never has
// more than Firehose takes. Where Firehose puts off a record and accepts those behind it, they change places: it keeps no order.
//
// Protocol: https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html
package firehose

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/secretref/secretref/logplugin/awsrouter"
	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/jsontext"
	"github.com/secretref/secretref/logplugin/router"
)

const (
	stream = "firehose-stream"
	op     = "read firehose log-opts"
)

// Bounds of one request. A record takes more bytes in base64 than Firehose counts for it.
const (
	maxRecords = 500
	maxBytes   = 4 << 20
	maxText    = 900_000 // of a line, in JSON: a record may have 1,000 KiB
	maxAnswer  = 1 << 20 // the id of a record has 224 bytes, and the reason of one that was not taken may have more
)

func service() awsrouter.Service {
	return awsrouter.Service{Name: "firehose", SDKID: "Firehose", Target: "Firehose_20150804.", Prefix: "firehose", Resource: "deliverystream/", Answer: maxAnswer}
}

func options() []router.Option {
	return slices.Concat([]router.Option{{Name: stream, Required: true, Address: true}, fluentbit.Option("firehose")}, service().Options())
}

// Kind describes the router on a host.
func Kind(h *awsrouter.Host) router.Kind {
	return router.Kind{
		Name: "firehose", Options: options(), Ports: awsrouter.Ports(),
		Addresses: func(v *router.Values) []router.Address {
			if v.Waits(stream) {
				return nil
			}
			return h.Addresses(service(), v, streamOf(v))
		},
		New: func(o router.Options) (router.Config, error) {
			v := o.Unresolved()
			streamOf(v)
			service().Check(v)
			encoderOf(v, router.Session{})
			return Config{o, h}, v.Err()
		},
	}
}

// streamOf reads the name of the stream; the faults are in v.
func streamOf(v *router.Values) string {
	const longest = 64
	name := v.String(stream, "")
	bad := func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._-", c))
	}
	if !v.Waits(stream) && (name == "" || len(name) > longest || strings.ContainsFunc(name, bad)) {
		v.Refuse("log-opt %s: %s is not a name of a stream, which has up to %d letters, digits and ._-", stream, v.Shown(stream), longest)
	}
	return name
}

// Config is a checked set of options. Only Kind makes one.
type Config struct {
	options router.Options
	host    *awsrouter.Host
}

// Batches implements router.Config.
func (c Config) Batches() int { return 0 }

// Router implements router.Config.
func (c Config) Router() router.Router {
	return &Router{client: awsrouter.NewClient(c.host, awsrouter.ClientConfig{Service: service(), Op: op, Options: c.options, List: options()})}
}

// Encoder implements router.Config.
func (c Config) Encoder(ctx context.Context, s router.Session) (router.Encoder, error) {
	return c.options.NewEncoder(ctx, op, options(), func(v *router.Values) router.Encoder { return encoderOf(v, s) })
}

// encoderOf makes the encoder of a session; the faults are in v.
func encoderOf(v *router.Values, s router.Session) *Encoder {
	if f := settingsOf(v); f != nil {
		return &Encoder{fluent: asFluentBit(v, s, f)}
	}
	e := &Encoder{}
	all := map[string]string{"container_id": s.ContainerID, "container_name": s.ContainerName}
	for name, value := range s.Attrs {
		if !slices.Contains([]string{"container_id", "container_name", "source", "log", "date"}, name) {
			all[name] = value
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		e.tail = append(jsontext.AppendString(append(e.tail, ','), []byte(name)), ':')
		e.tail = jsontext.AppendString(e.tail, []byte(all[name]))
	}
	e.tail = append(e.tail, "}\n"...)
	return e
}

// Encoder writes the records of one session, each as a record of a request with a comma behind it.
type Encoder struct {
	tail   []byte
	fluent *fluentText // nil = the text of a record is our own
	text   []byte      // at hand
}

// appendText appends what a record has as its data.
func (e *Encoder) appendText(text []byte, r *router.Record) []byte {
	if e.fluent != nil {
		return e.fluent.append(text, r)
	}
	text = time.Unix(0, r.TimeNano).UTC().AppendFormat(append(text, `{"date":"`...), "2006-01-02T15:04:05.000000Z")
	text = jsontext.AppendEscaped(append(text, `","source":"`...), r.Source)
	text = jsontext.AppendCut(append(text, `","log":"`...), r.Line, maxText, router.Cut)
	return append(append(text, '"'), e.tail...)
}

// AppendRecord implements router.Encoder.
func (e *Encoder) AppendRecord(dst []byte, r *router.Record) []byte {
	text := e.appendText(e.text[:0], r)
	if len(text) == 0 {
		return dst
	}
	dst = base64.StdEncoding.AppendEncode(append(dst, `{"Data":"`...), text)
	const kept = 64 << 10
	if e.text = text; cap(text) > kept {
		e.text = nil
	}
	return append(dst, `"},`...)
}

// Router sends batches to one stream.
type Router struct {
	client *awsrouter.Client
	idle   router.Buffers
}

// Close implements router.Router.
func (r *Router) Close() error {
	r.client.Close()
	return nil
}

// Send implements router.Router.
func (r *Router) Send(ctx context.Context, b *router.Batch) error {
	return b.SendParts(maxRecords, maxBytes, func(part *router.Batch) *router.Error { return r.send(ctx, part) })
}

// send makes one request.
func (r *Router) send(ctx context.Context, b *router.Batch) *router.Error {
	u, failed := r.client.Begin(ctx)
	if failed != nil {
		return failed
	}
	buf := r.idle.Get()
	defer r.idle.Put(buf)
	name := streamOf(u.Values)
	*buf = jsontext.AppendString(append((*buf)[:0], `{"DeliveryStreamName":`...), []byte(name))
	*buf = append(append(*buf, `,"Records":[`...), b.Body[:max(len(b.Body)-1, 0)]...)
	*buf = append(*buf, "]}"...)
	doing := "send to stream " + name + " (" + u.Shown() + ")"
	a, no := u.Call(ctx, doing, "PutRecordBatch", *buf, http.Header{})
	if no != nil {
		return no.Error
	}
	return outcomes(doing, &a, b.Len())
}

// outcomes reads what became of each of n records.
func outcomes(doing string, a *router.Answer, n int) *router.Error {
	var answer struct {
		RequestResponses []struct{ RecordId, ErrorCode string }
	}
	if err := json.Unmarshal(a.Body, &answer); err != nil || len(answer.RequestResponses) != n {
		return &router.Error{Class: router.ClassConfig, Op: doing, Cause: "the answer does not say what became of each record", Bad: router.NoRecord,
			Hint: "what answered did not answer as AWS does: check the endpoint, the proxy and DNS"}
	}
	e := &router.Error{Class: router.ClassRetry, Op: doing, Bad: router.NoRecord, Outcomes: make([]router.Outcome, n)}
	waits := 0
	for i, x := range answer.RequestResponses {
		if x.ErrorCode == "" {
			e.Outcomes[i] = router.Taken
			continue
		}
		waits++
		e.Cause = "Firehose answers " + a.Text(x.ErrorCode)
		if c := awsrouter.ClassOf(x.ErrorCode); c != "" {
			e.Class = c
		}
	}
	if waits == 0 {
		return nil
	}
	e.Cause = fmt.Sprintf("%d of %d records were not taken: %s", waits, n, e.Cause)
	return e
}

// Verify implements router.Verifier. It puts no record at all, which Firehose refuses only after it has looked at the signature.
func (r *Router) Verify(ctx context.Context) error {
	failed := r.send(ctx, &router.Batch{})
	if failed == nil || failed.Class == router.ClassBadRecords {
		return nil
	}
	return failed
}

// VerifyCredentials implements router.CredentialVerifier.
func (r *Router) VerifyCredentials(ctx context.Context) error { return r.Verify(ctx) }
