package fluentd

import (
	"context"
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/secretref/secretref/logplugin/msgpack"
	"github.com/secretref/secretref/logplugin/router"
)

// Differences lists where this router does not send what Docker's fluentd driver sends, and why. What a record says is
// the same but for these, and tested against captures of Docker's.
var Differences = []struct{ Docker, Here string }{
	{"labels and variables overwrite log, source, container_id and container_name: a label named log loses every line",
		"the driver's own keys win, and a label or variable of such a name is left out"},
	{"a label partial_message stands in whole lines, which looks like a piece of a long one",
		"the names partial_message, partial_id, partial_ordinal and partial_last are the driver's own too"},
	{"the keys of a record are in random order",
		"container_id, container_name, source, log, the labels and variables by name, then partial_*"},
	{"each line is a message of its own, with its own acknowledgement",
		"PackedForward: one message for all lines of a tag in a batch, gzipped with fluentd-compress=gzip, and one acknowledgement"},
	{"fluentd-request-ack: lines of both streams take each other's acknowledgements, and are sent again then",
		"an acknowledgement is found by its chunk, in whatever order they come"},
	{"seconds are an int32, which ends in 2038",
		"as there until 2038, then a uint32"},
	{"fluentd-sub-second-precision: a time before 1970 becomes one far in the future",
		"such a time is sent as whole seconds, which can be negative"},
	{"fluentd-async, -async-reconnect-interval, -buffer-limit, -max-retries and -retry-wait decide what is lost when the receiver is away, and with -async also when a container ends",
		"they are taken and checked, and do nothing: lines wait in the spool"},
	{"fluentd-write-timeout is off by default, and a receiver that does not read stops the container",
		"it is 30 s by default"},
}

// The driver's own keys, which no label or variable may take.
var ownKeys = []string{"container_id", "container_name", "source", "log", "partial_message", "partial_id", "partial_ordinal", "partial_last"}

// Encoder writes records of one session as entries of a PackedForward message: [time, record].
type Encoder struct {
	tag       string
	subSecond bool
	keys      int    // of a whole line
	ids       []byte // container_id and container_name, and the key source
	attrs     []byte
}

// NewEncoder returns the encoder of s; an empty tag means the first twelve digits of the container's id, as in Docker's
// driver. It asks the sources of c for the session's options that are secrets; an error is an *router.Error.
func NewEncoder(ctx context.Context, c Config, s router.Session) (*Encoder, error) {
	const op = "read fluentd log-opts"
	v, err := c.options.Session(ctx, options)
	if err != nil {
		return nil, router.FromSource(op, err)
	}
	e := &Encoder{tag: s.Tag, subSecond: v.Bool("fluentd-sub-second-precision", false), keys: 4}
	if err := v.Err(); err != nil {
		return nil, &router.Error{Class: router.ClassConfig, Op: op, Cause: err.Error(), Bad: router.NoRecord}
	}
	if e.tag == "" {
		e.tag = s.ContainerID[:min(12, len(s.ContainerID))]
	}
	e.ids = msgpack.AppendStr(msgpack.AppendStr(e.ids, "container_id"), s.ContainerID)
	e.ids = msgpack.AppendStr(msgpack.AppendStr(e.ids, "container_name"), s.ContainerName)
	e.ids = msgpack.AppendStr(e.ids, "source")
	for _, name := range slices.Sorted(maps.Keys(s.Attrs)) {
		if !slices.Contains(ownKeys, name) {
			e.attrs = msgpack.AppendStr(msgpack.AppendStr(e.attrs, name), s.Attrs[name])
			e.keys++
		}
	}
	return e, nil
}

// AppendRecord implements router.Encoder. The line is sent as str whatever its bytes are, as by Docker's driver.
func (e *Encoder) AppendRecord(dst []byte, r *router.Record) []byte {
	dst = e.appendTime(msgpack.AppendArray(dst, 2), r.TimeNano)
	partial := r.Partial && len(r.PartialID) > 0
	if partial {
		dst = msgpack.AppendMap(dst, e.keys+4)
	} else {
		dst = msgpack.AppendMap(dst, e.keys)
	}
	dst = msgpack.AppendStr(append(dst, e.ids...), r.Source)
	dst = msgpack.AppendStr(msgpack.AppendStr(dst, "log"), r.Line)
	dst = append(dst, e.attrs...)
	if !partial {
		return dst
	}
	dst = msgpack.AppendStr(msgpack.AppendStr(dst, "partial_message"), "true")
	dst = msgpack.AppendStr(msgpack.AppendStr(dst, "partial_id"), r.PartialID)
	var digits [11]byte
	dst = msgpack.AppendStr(msgpack.AppendStr(dst, "partial_ordinal"), strconv.AppendInt(digits[:0], int64(r.Ordinal), 10))
	return msgpack.AppendStr(msgpack.AppendStr(dst, "partial_last"), strconv.FormatBool(r.Last))
}

// appendTime appends seconds, or with sub-second precision an EventTime.
func (e *Encoder) appendTime(dst []byte, nano int64) []byte {
	sec, rest := nano/1e9, nano%1e9
	if rest < 0 {
		sec--
		rest += 1e9
	}
	switch {
	case e.subSecond && sec >= 0 && sec <= math.MaxUint32:
		return msgpack.AppendEventTime(dst, uint32(sec), uint32(rest))
	case sec >= math.MinInt32 && sec <= math.MaxInt32:
		return binary.BigEndian.AppendUint32(append(dst, 0xd2), uint32(int32(sec)))
	case sec > 0 && sec <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, 0xce), uint32(sec))
	}
	return binary.BigEndian.AppendUint64(append(dst, 0xd3), uint64(sec))
}
