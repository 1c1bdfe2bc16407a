package otlp

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/secretref/secretref/logplugin/protobuf"
	"github.com/secretref/secretref/logplugin/router"
)

const (
	protobufType = "application/x-protobuf"
	jsonType     = "application/json"
)

// Fields of the answer.
const (
	responsePartial protowire.Number = 1 // of ExportLogsServiceResponse
	partialRejected protowire.Number = 1 // of ExportLogsPartialSuccess
)

// judge makes an error of the answer to n records; nil means that the receiver has them all. bare says that it has
// answered without a message.
func judge(a *router.Answer, op string, n int) (failed *router.Error, bare bool) {
	e := &router.Error{Op: op, Cause: a.Cause(), Bad: router.NoRecord, RetryAfter: a.RetryAfter}
	e.Class, e.Hint = a.Class()
	switch {
	case a.Status == http.StatusOK && !a.HTML:
		rejected, ok := rejectedOf(a)
		switch {
		case !ok:
			e.Class, e.Cause, e.Hint = router.ClassConfig, "answer 200 without OTLP's message", "check that "+endpoint+" is the address of a receiver of OTLP over HTTP"
			return e, false
		case rejected == 0:
			return nil, len(a.Body) == 0 && a.Media != protobufType
		}
		e.Class, e.Refused = router.ClassBadRecords, int(min(rejected, int64(n)))
		e.Cause, e.Hint = "answer 200 with "+strconv.FormatInt(rejected, 10)+" records rejected", ""
		if e.Refused < n {
			e.Delivered = n
		} else {
			e.Refused = 0 // none was taken: they may be sent again, to see whether the receiver takes any
			e.Bad = alone(n)
		}
	case e.Class == "":
		e.Class, e.Hint = router.ClassConfig, "a receiver of OTLP answers 200; check "+endpoint
	case a.Status == http.StatusBadRequest && !a.HTML:
		e.Class, e.Bad = router.ClassBadRecords, alone(n)
	}
	return e, false
}

// alone is the index of the record that is at fault when all n are.
func alone(n int) int {
	if n == 1 {
		return 0
	}
	return router.NoRecord
}

// rejectedOf reads the message of an answer: how many records were rejected. A receiver that says nothing at all has
// taken them.
func rejectedOf(a *router.Answer) (n int64, ok bool) {
	switch {
	case a.Cut:
		return 0, false
	case a.Media == protobufType:
		return rejectedInProtobuf(a.Body)
	case a.Media == jsonType:
		return rejectedInJSON(a.Body)
	}
	return 0, len(a.Body) == 0
}

func rejectedInProtobuf(message []byte) (n int64, ok bool) {
	inner := true
	ok = protobuf.Fields(message, func(f protobuf.Field) {
		if f.Number != responsePartial {
			return
		}
		inner = inner && protobuf.Fields(f.Bytes, func(f protobuf.Field) {
			if f.Number == partialRejected {
				n = int64(min(f.Varint, math.MaxInt64)) //nolint:gosec // bounded
			}
		})
	})
	return n, ok && inner
}

// rejectedInJSON reads {"partialSuccess":{"rejectedLogRecords":"1"}}; a number of 64 bits may be a string.
func rejectedInJSON(text []byte) (n int64, ok bool) {
	var response struct {
		PartialSuccess *struct {
			RejectedLogRecords json.RawMessage `json:"rejectedLogRecords"`
		} `json:"partialSuccess"`
	}
	if !bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) || json.Unmarshal(text, &response) != nil {
		return 0, false
	}
	if response.PartialSuccess == nil || response.PartialSuccess.RejectedLogRecords == nil {
		return 0, true
	}
	n, err := strconv.ParseInt(string(bytes.Trim(response.PartialSuccess.RejectedLogRecords, `"`)), 10, 64)
	return max(n, 0), err == nil
}
