package splunk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/secretref/secretref/logplugin/router"
)

// delivered is the class of an answer that is not a failure.
const delivered router.Class = ""

// verdict is what one HEC code means for a batch.
type verdict struct {
	class router.Class
	hint  string
}

const (
	tokenHint   = "put a valid HEC token into the secret of splunk-token"
	channelHint = "the token wants indexer acknowledgement: set splunk-index-acknowledgment=true"
	ackHint     = "enable indexer acknowledgement for the token, or leave splunk-index-acknowledgment out"
	notHEC      = "this is not an HTTP Event Collector (HEC); check splunk-url"
)

// codes is the whole table of HEC's codes.
var codes = map[int]verdict{
	0:  {delivered, ""},
	1:  {router.ClassCredentials, "enable the HEC token, or put another into the secret of splunk-token"},
	2:  {router.ClassCredentials, tokenHint},
	3:  {router.ClassCredentials, tokenHint},
	4:  {router.ClassCredentials, tokenHint},
	5:  {router.ClassBadRecords, ""},
	6:  {router.ClassBadRecords, ""},
	7:  {router.ClassConfig, "allow splunk-index for the token, or set another"},
	8:  {router.ClassRetry, ""},
	9:  {router.ClassRetry, ""},
	10: {router.ClassConfig, channelHint},
	11: {router.ClassConfig, channelHint},
	12: {router.ClassBadRecords, ""},
	13: {router.ClassBadRecords, ""},
	14: {router.ClassConfig, ackHint},
	15: {router.ClassBadRecords, ""},
	16: {router.ClassConfig, ""},
	17: {delivered, ""},
	18: {router.ClassRetry, ""},
	19: {router.ClassRetry, ""},
	20: {router.ClassRetry, ""},
	21: {router.ClassCredentials, tokenHint},
	22: {router.ClassCredentials, "enable the HEC token, or put another into the secret of splunk-token"},
	23: {router.ClassRetry, ""},
	24: {delivered, ""}, // near its capacity, but it took the batch
	25: {delivered, ""},
	26: {router.ClassRetry, ""},
	27: {router.ClassRetry, ""},
}

const (
	codeNoData         = 5
	codeIncorrectIndex = 7 // it counts events from 1; the others count from 0
	codeHealthy        = 17
)

// stopsAtEvent reports whether HEC answers the code when it has come to an event that it does not take: those before it
// are indexed.
func stopsAtEvent(code int) bool {
	switch code {
	case 6, codeIncorrectIndex, 12, 13, 15:
		return true
	}
	return false
}

// noCode stands for an answer without one.
const noCode = -1

// answer is what a receiver has said.
type answer struct {
	router.Answer
	code    int    // noCode if it is not HEC's JSON
	said    string // the receiver's own words: only Text makes of them what an error may show
	number  int    // invalid-event-number, or router.NoRecord
	ack     int64  // ackId, if hasAck
	hasAck  bool
	success bool // a yes without a code: {"text":"Success"}
	oldOK   bool // the JSON text "OK", which collectors answered that were not Splunk's
	isAcks  bool // an answer about acknowledgements
	acks    map[string]bool
}

// parseAnswer reads the body, of which nothing but a short text is kept.
func parseAnswer(r router.Answer) answer {
	a := answer{Answer: r, code: noCode, number: router.NoRecord}
	if r.Cut {
		return a
	}
	var word string
	if isText := bytes.HasPrefix(bytes.TrimLeft(r.Body, " \t\r\n"), []byte(`"`)); isText && json.Unmarshal(r.Body, &word) == nil {
		a.oldOK = word == "OK"
		return a
	}
	var hec map[string]json.RawMessage
	if json.Unmarshal(r.Body, &hec) != nil {
		return a
	}
	field(hec, "text", &a.said)
	if !field(hec, "code", &a.code) || a.code < 0 {
		a.code = noCode
		_, given := hec["code"]
		a.success = !given && a.said == "Success"
	}
	if !field(hec, "invalid-event-number", &a.number) {
		a.number = router.NoRecord
	}
	a.hasAck = field(hec, "ackId", &a.ack) && a.ack >= 0
	a.isAcks = field(hec, "acks", &a.acks) && r.Status == http.StatusOK
	return a
}

// field reads one field, and reports whether there is one of that type.
func field(object map[string]json.RawMessage, name string, to any) bool {
	raw, ok := object[name]
	return ok && string(raw) != "null" && json.Unmarshal(raw, to) == nil
}

// isYes reports whether the answer to a batch says, as the protocol does, that the batch was taken.
func (a *answer) isYes() bool {
	v, known := codes[a.code]
	return known && v.class == delivered && a.code != codeHealthy || a.success || a.oldOK
}

// verdict decides by the status where that is about the exchange, else by the code.
func (a *answer) verdict() verdict {
	class, hint := a.Class()
	v, known := codes[a.code]
	switch {
	case class == router.ClassRetry || class == router.ClassTooLarge || a.Status == http.StatusProxyAuthRequired:
		return verdict{class, hint}
	case class == router.ClassCredentials && !(known && v.class == router.ClassCredentials):
		return verdict{class, tokenHint}
	case known && v.class != delivered:
		return v
	case class == "" && a.isYes():
		return verdict{delivered, ""}
	case class == "" && a.HTML:
		return verdict{router.ClassConfig, notHEC}
	case class == "":
		return verdict{router.ClassConfig, notHEC + ", or set splunk-accept-any-2xx=true if it is one of another maker"}
	case a.Status >= 300 && a.Status < 400:
		return verdict{class, hint + "; check splunk-url"}
	case a.Status == http.StatusBadRequest && a.code != noCode && !known:
		return verdict{router.ClassBadRecords, ""}
	}
	return verdict{router.ClassConfig, notHEC}
}

// err makes an error of a verdict. n is the number of records that were sent.
func (a *answer) err(v verdict, op string, n int, ack bool) *router.Error {
	e := &router.Error{Class: v.class, Op: op, Cause: a.cause(), Hint: v.hint, Bad: router.NoRecord, RetryAfter: a.RetryAfter}
	if n == 1 && v.class == router.ClassBadRecords {
		e.Bad = 0
	}
	if a.Status != http.StatusBadRequest || !stopsAtEvent(a.code) {
		return e
	}
	bad := a.number
	if a.code == codeIncorrectIndex {
		bad--
	}
	if bad >= 0 && bad < n {
		e.Bad = bad
	}
	// Events before the one that the receiver stopped at are indexed. Some servers count it from 1, so one fewer is
	// certain. With acknowledgement only an ackId makes any certain.
	if a.number > 0 && a.number <= n && !ack {
		e.Delivered = a.number - 1
	}
	return e
}

func (a *answer) cause() string {
	if a.code == noCode {
		return a.Cause()
	}
	return fmt.Sprintf("answer %d (HEC code %d: %s)", a.Status, a.code, a.Text(a.said))
}
