package elasticsearch

import (
	"bytes"
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/secretref/secretref/logplugin/jsontext"
	"github.com/secretref/secretref/logplugin/router"
)

// answer reads the answers to bulk requests. Its memory is used again for the next.
type answer struct {
	all, item, result, fault jsontext.Object

	body     []byte           // memory for the next answer
	outcomes []router.Outcome // of the records so far; none while all were taken
	refused  int
	worst    router.Class // of the records that wait; "" = none
	kind     string       // of the fault that decides
}

// Types of faults that are not the record's, by the status of their results, and what a person can do about them.
var faults = map[string]struct {
	class router.Class
	hint  string
}{
	"invalid_index_name_exception": {router.ClassConfig, "correct " + index},
	"index_closed_exception":       {router.ClassConfig, "open the index, or write to another with " + index},
	"validation_exception":         {router.ClassConfig, "the cluster takes no more shards or indices; see its log"},
	"index_not_found_exception":    {router.ClassConfig, "create the index, or let the server create it"},
	"security_exception":           {router.ClassCredentials, "the user or the key needs the privileges create_doc and auto_configure for the index"},
	"cluster_block_exception":      {router.ClassConfig, "the index is blocked for writing; see the server's log"},
}

// judge makes an error of the answer to n records; nil means that the server has them all.
func (p *answer) judge(a *router.Answer, doing string, n int) *router.Error {
	e := &router.Error{Class: router.ClassConfig, Op: doing, Cause: a.Cause(), Bad: router.NoRecord, RetryAfter: a.RetryAfter}
	switch {
	case a.Status != http.StatusOK || a.HTML:
		return p.whole(a, doing, n)
	case a.Cut && n > 1:
		e.Class, e.Cause = router.ClassTooLarge, e.Cause+" with more than is read of it"
		return e
	case a.Cut || !p.read(a.Body, n):
		e.Hint = "that is not what the bulk API answers; check that " + address + " is a server of Elasticsearch or OpenSearch"
		return e
	case len(p.outcomes) == 0:
		return nil
	}
	e.Outcomes = slices.Clone(p.outcomes)
	e.Class = cmp.Or(p.worst, router.ClassBadRecords)
	waiting := 0
	for _, o := range p.outcomes {
		if o == router.Again {
			waiting++
		}
	}
	e.Cause += fmt.Sprintf(", %d of %d records refused and %d put off", p.refused, n, waiting)
	if p.kind != "" {
		e.Cause += ": " + p.kind
	}
	e.Hint = faults[p.kind].hint
	return e
}

// whole makes an error of an answer that says nothing of single records.
func (p *answer) whole(a *router.Answer, doing string, n int) *router.Error {
	e := a.Judge(doing, n, http.StatusOK, "check that "+address+" is a server of Elasticsearch or OpenSearch")
	if e == nil || a.HTML {
		return e
	}
	if bytes.Contains(a.Body, []byte("no handler found")) {
		e.Class, e.Bad, e.Hint = router.ClassConfig, router.NoRecord, "there is no bulk API; check "+address
	}
	if kind := p.errorKind(a.Body); kind != "" {
		e.Cause += ": " + kind
		if e.Hint == "" && e.Class != router.ClassBadRecords {
			e.Hint = faults[kind].hint
		}
	}
	return e
}

// errorKind returns the type of the fault that an answer is about, "" for none.
func (p *answer) errorKind(body []byte) string {
	for name, value := range members(&p.all, body) {
		if string(name) == `"error"` {
			return p.typeOf(value)
		}
	}
	return ""
}

// typeOf returns the type of an error object, if it is one that may be shown: other texts may hold a line.
func (p *answer) typeOf(fault []byte) string {
	const longest = 64
	for name, value := range members(&p.fault, fault) {
		text := strings.Trim(string(value), `"`)
		if string(name) == `"type"` && len(text) <= longest && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789_") == "" {
			return text
		}
	}
	return ""
}

// created is the result of most records.
var created = []byte(`{"create":{"status":201}}`)

// allCreated reports whether an answer says that n records were created, and no more than that, as nearly all do. They need not be
// parsed. The time that it took is said by servers that do not leave out what is not asked for.
func allCreated(body []byte, n int) bool {
	head, rest, found := bytes.Cut(body, []byte(`"errors":false,"items":[`))
	if took, said := bytes.CutPrefix(head, []byte(`{"took":`)); said {
		number, comma := bytes.CutSuffix(took, []byte(","))
		_, isNumber := jsontext.Int(number)
		found = found && comma && isNumber
	} else {
		found = found && string(head) == "{"
	}
	for i := 0; i < n && found; i++ {
		rest, found = bytes.CutPrefix(rest, created)
		if found && i < n-1 {
			rest, found = bytes.CutPrefix(rest, []byte(","))
		}
	}
	return found && string(bytes.TrimSpace(rest)) == "]}"
}

// read reads the results of n records, and reports whether there are so many.
func (p *answer) read(body []byte, n int) bool {
	p.outcomes, p.refused, p.worst, p.kind = p.outcomes[:0], 0, "", ""
	if allCreated(body, n) {
		return true
	}
	for name, value := range members(&p.all, body) {
		if string(name) != `"items"` || value[0] != '[' {
			continue
		}
		read := 0
		for result := range jsontext.Elements(value) {
			o := router.Taken
			if !bytes.Equal(result, created) {
				var ok bool
				if o, ok = p.outcome(result); !ok {
					return false
				}
			}
			if o != router.Taken && len(p.outcomes) == 0 {
				p.outcomes = slices.Grow(p.outcomes, n)
				for range read {
					p.outcomes = append(p.outcomes, router.Taken)
				}
			}
			if len(p.outcomes) > 0 || o != router.Taken {
				p.outcomes = append(p.outcomes, o)
			}
			if read++; read > n {
				return false
			}
		}
		return read == n
	}
	return false
}

// outcome reads one result: {"create":{"status":400,"error":{"type":"..."}}}.
func (p *answer) outcome(item []byte) (o router.Outcome, ok bool) {
	status, kind := int64(0), ""
	for _, value := range members(&p.item, item) {
		for name, value := range members(&p.result, value) {
			switch string(name) {
			case `"status"`:
				status, _ = jsontext.Int(value)
			case `"error"`:
				kind = p.typeOf(value)
			}
		}
	}
	fault, isKnown := faults[kind]
	switch {
	case status == http.StatusOK, status == http.StatusCreated, status == http.StatusConflict: // 409: it is there already
		return router.Taken, true
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status >= 500 && status < 600:
		p.waits(router.ClassRetry, kind)
		return router.Again, true
	case isKnown:
		p.waits(fault.class, kind)
		return router.Again, true
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusNotFound:
		p.waits(router.ClassConfig, kind)
		return router.Again, true
	case status >= 400 && status < 500:
		if p.refused++; p.worst == "" {
			p.kind = kind
		}
		return router.Refused, true
	}
	return 0, false
}

// waits notes that a record is to be sent again. A pause is the first to help: then the others are looked at again.
func (p *answer) waits(c router.Class, kind string) {
	if p.worst == "" || c == router.ClassRetry && p.worst != router.ClassRetry {
		p.worst, p.kind = c, kind
	}
}

// empty is the judgement of the answer to a request without actions: Elasticsearch and OpenSearch refuse it with 400, and other
// servers of their protocol accept it.
func empty(a *router.Answer, doing string) *router.Error {
	var p answer
	isObject := p.all.Open(a.Body)
	switch {
	case a.Status == http.StatusBadRequest && !a.HTML && p.errorKind(a.Body) != "" && !bytes.Contains(a.Body, []byte("no handler found")):
		return nil
	case a.Status == http.StatusOK && isObject:
		return nil
	}
	e := p.whole(a, doing, 0)
	if e == nil {
		e = &router.Error{Op: doing, Cause: a.Cause(), Bad: router.NoRecord, Hint: "check that " + address + " is a server of Elasticsearch or OpenSearch"}
	}
	if e.Class == router.ClassBadRecords || e.Class == router.ClassTooLarge || e.Class == "" { // nothing was sent
		e.Class, e.Bad = router.ClassConfig, router.NoRecord
	}
	return e
}

// members returns the members of a JSON object, none for another text. They are valid until o is used again.
func members(o *jsontext.Object, text []byte) func(yield func(name, value []byte) bool) {
	return func(yield func(name, value []byte) bool) {
		if !o.Open(text) {
			return
		}
		for {
			name, value, ok := o.Next()
			if !ok || !yield(name, value) {
				return
			}
		}
	}
}
