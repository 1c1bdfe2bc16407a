package loki

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/secretref/secretref/logplugin/router"
)

// How Loki names entries that it refuses one by one, while it stores the others of the push. The texts are those of
// https://github.com/grafana/loki/blob/main/pkg/validation/validate.go and of pkg/ingester/stream.go.
var (
	ignored = regexp.MustCompile(`total ignored: (\d+) out of \d+ for stream`)
	alike   = regexp.MustCompile(`(\d+) errors like: `)
	entries = []string{
		"has timestamp too old", "has timestamp too new", "max entry size",
		"has structured metadata too large", "has too many structured metadata labels",
	}
)

// What a person must change, by what Loki says.
var faults = []struct{ text, hint string }{
	{"structured metadata, but this feature is disallowed", "set loki-structured-metadata=false, or allow_structured_metadata in Loki's limits_config"},
	{"missing required labels", "give the labels that are named in loki-external-labels"},
	{"no org id", "give the tenant in loki-tenant-id"},
}

// phrases are the beginnings of what may be shown of an answer. Other texts may hold a line, or more than Loki says.
var phrases = []string{
	"entry too far behind", "entry out of order", "ingestion rate limit exceeded", "Per stream rate limit exceeded",
	"maximum active stream limit exceeded", "ingestion blocked", "larger than max", "error parsing labels",
	"label names; limit", "label name too long", "label value too long",
}

// said returns what Loki gives as the reason, for the end of a cause.
func said(a *router.Answer, text string) string {
	known := slices.Concat(entries, phrases)
	for _, f := range faults {
		known = append(known, f.text)
	}
	for _, p := range known {
		if i := strings.Index(text, p); i >= 0 {
			return ": " + a.Text(text[i:])
		}
	}
	return ""
}

// judge makes an error of the answer to a push of n entries; nil means that Loki has them all.
func judge(a *router.Answer, op string, n int) *router.Error {
	if a.Status == http.StatusNoContent {
		return nil
	}
	e := &router.Error{Op: op, Cause: a.Cause(), Bad: router.NoRecord, RetryAfter: a.RetryAfter}
	e.Class, e.Hint = a.Class()
	if a.HTML || a.Status >= 300 && a.Status < 400 {
		if e.Class == "" {
			e.Class = router.ClassConfig
		}
		return e
	}
	text := string(a.Body)
	e.Cause += said(a, text)
	switch {
	case e.Class == "":
		e.Class, e.Hint = router.ClassConfig, "Loki answers 204; check that loki-url is its address"
	case a.Status == http.StatusInternalServerError && strings.Contains(text, "larger than max"):
		e.Class = router.ClassTooLarge
	case a.Status == http.StatusBadRequest:
		e.Class = router.ClassBadRecords
		e.Refused = min(refused(text), n)
		if e.Refused > 0 {
			e.Delivered = n
		} else if n == 1 {
			e.Bad = 0
		}
	}
	for _, f := range faults {
		if strings.Contains(text, f.text) && (e.Class == router.ClassBadRecords || e.Class == router.ClassCredentials) {
			e.Class, e.Hint, e.Delivered, e.Refused, e.Bad = router.ClassConfig, f.hint, 0, 0, router.NoRecord
		}
	}
	return e
}

// refused returns how many entries the text of a 400 says were refused while the others were stored; 0 means that it says
// nothing of that. Of several streams with entries that are too far behind Loki names one.
func refused(text string) int {
	n := 0
	for _, m := range ignored.FindAllStringSubmatch(text, -1) {
		n += number(m[1])
	}
	if n > 0 {
		return n
	}
	counts := alike.FindAllStringSubmatchIndex(text, -1)
	if len(counts) == 0 {
		return isEntry(text)
	}
	for i, c := range counts {
		end := len(text)
		if i+1 < len(counts) {
			end = counts[i+1][0]
		}
		n += number(text[c[2]:c[3]]) * isEntry(text[c[1]:end])
	}
	return n
}

// isEntry returns 1 for the text of an entry that was refused alone.
func isEntry(text string) int {
	for _, s := range entries {
		if strings.Contains(text, s) {
			return 1
		}
	}
	return 0
}

func number(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 1 << 30
	}
	return min(n, 1<<30)
}

// emptyPush is the judgement of the answer to a push without streams, which asks Loki whether it is there and accepts the
// credentials: it refuses that with 422, and other servers of its protocol accept it.
func emptyPush(a *router.Answer, op string) *router.Error {
	if a.Status == http.StatusUnprocessableEntity && !a.HTML {
		return nil
	}
	if e := judge(a, op, 0); e != nil {
		if e.Class == router.ClassBadRecords {
			e.Class, e.Hint = router.ClassConfig, fmt.Sprintf("check that loki-url is the address of Loki, as in %s", addressExample)
		}
		return e
	}
	return nil
}
