package splunk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/shared/fault"
)

// delivered is the class of an answer that is no failure.
const delivered router.Class = ""

// verdict is what one HEC code means for a batch.
type verdict struct {
	class router.Class
	hint  string
}

const (
	tokenHint   = "put a valid HEC token into the secret of splunk-token"
	channelHint = "the token wants indexer acknowledgement: set splunk-index-acknowledgment=true"
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
	14: {router.ClassConfig, "enable indexer acknowledgement for the token, or leave splunk-index-acknowledgment out"},
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

const codeNoData = 5

// Codes that count events from 1; the others count from 0.
const codeIncorrectIndex = 7

// noCode stands for an answer without one.
const noCode = -1

// answer is what a receiver has said.
type answer struct {
	status     int
	code       int    // noCode if it is not HEC's JSON
	text       string // the receiver's own words, cut
	number     int    // invalid-event-number, or router.NoRecord
	ack        int64  // ackId, if hasAck
	hasAck     bool
	html       bool
	retryAfter time.Duration
	location   string // of a redirect: host only
	acks       map[string]bool
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 10

// parseAnswer reads body, of which nothing but a short text is kept.
func parseAnswer(r *http.Response, body []byte, now time.Time) answer {
	a := answer{status: r.StatusCode, code: noCode, number: router.NoRecord, retryAfter: retryAfter(r.Header.Get("Retry-After"), now)}
	if u, err := r.Location(); err == nil {
		a.location = u.Scheme + "://" + u.Host
	}
	var hec struct {
		Text  string          `json:"text"`
		Code  *int            `json:"code"`
		Bad   *int            `json:"invalid-event-number"`
		AckID *int64          `json:"ackId"`
		Acks  map[string]bool `json:"acks"`
	}
	if err := json.Unmarshal(body, &hec); err != nil {
		a.html = bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) || strings.HasPrefix(r.Header.Get("Content-Type"), "text/html")
		return a
	}
	a.acks = hec.Acks
	a.text = cut(hec.Text, 120)
	if hec.Code != nil {
		a.code = *hec.Code
	}
	if hec.Bad != nil {
		a.number = *hec.Bad
	}
	if hec.AckID != nil {
		a.ack, a.hasAck = *hec.AckID, true
	}
	return a
}

// verdict decides by code, and where there is none by status.
func (a answer) verdict() verdict {
	if v, ok := codes[a.code]; ok && (v.class != delivered || a.status == http.StatusOK) {
		return v
	}
	switch {
	case a.html && a.status < 400:
		return verdict{router.ClassConfig, "this is a web page and no HTTP Event Collector; check splunk-url"}
	case a.status >= 200 && a.status < 300:
		return verdict{delivered, ""}
	case a.status >= 300 && a.status < 400:
		return verdict{router.ClassConfig, "redirects are not followed; check splunk-url"}
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden:
		return verdict{router.ClassCredentials, tokenHint}
	case a.status == http.StatusRequestEntityTooLarge:
		return verdict{router.ClassTooLarge, ""}
	case a.status == http.StatusRequestTimeout, a.status == http.StatusTooManyRequests, a.status >= 500:
		return verdict{router.ClassRetry, ""}
	case a.status == http.StatusBadRequest && a.code != noCode:
		return verdict{router.ClassBadRecords, ""}
	}
	return verdict{router.ClassConfig, "this is no HTTP Event Collector; check splunk-url"}
}

// err returns nil for an answer that is no failure. n is the number of records that were sent.
func (a answer) err(op string, n int, ack bool) *router.Error {
	v := a.verdict()
	if v.class == delivered {
		return nil
	}
	e := &router.Error{Class: v.class, Op: op, Cause: a.cause(), Hint: v.hint, Bad: router.NoRecord, RetryAfter: a.retryAfter}
	bad := a.number
	if a.code == codeIncorrectIndex {
		bad--
	}
	switch {
	case n == 1 && v.class == router.ClassBadRecords:
		e.Bad = 0
	case bad >= 0 && bad < n && v.class != router.ClassRetry:
		e.Bad = bad
	}
	// Events before the one that the receiver stopped at are indexed. Some servers count it from 1, so one fewer is
	// certain. With acknowledgement only an ackId makes any certain.
	if a.number > 0 && a.number <= n && !ack {
		e.Delivered = a.number - 1
	}
	return e
}

func (a answer) cause() string {
	s := fmt.Sprintf("answer %d", a.status)
	switch {
	case a.code != noCode:
		s += fmt.Sprintf(" (HEC code %d: %s)", a.code, a.text)
	case a.location != "":
		s += ", a redirect to " + a.location
	case a.html:
		s += " with a web page"
	default:
		s += " " + http.StatusText(a.status)
	}
	return s
}

// retryAfter reads seconds or an HTTP date (RFC 9110 §10.2.3).
func retryAfter(h string, now time.Time) time.Duration {
	var d time.Duration
	if seconds, err := strconv.ParseUint(h, 10, 31); err == nil {
		d = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(h); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), router.MaxRetryAfter)
}

func cut(s string, n int) string {
	if len(s) > n {
		s = s[:n] + "…"
	}
	return fault.OneLine(strings.ToValidUTF8(s, "?"))
}
