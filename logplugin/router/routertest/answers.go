package routertest

import (
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
)

// Answer is what a receiver says to a batch of ten records, and how the router must tell it.
type Answer struct {
	Status     int
	Body, Type string
	Want       router.Class // "" = they are delivered
	Says       string       // in the error
	Refused    int          // of the ten records, which the receiver will never take, while it has the others: none is sent again
	Note       bool         // the router has something to say to a person
}

const html = "text/html; charset=utf-8"

// common are the answers that all routers over HTTP tell alike, unless they say otherwise.
var common = []struct {
	Status     int
	Body, Type string
	Want       router.Class
	Says       string
}{
	{200, "<html>", html, router.ClassConfig, "a web page"}, {202, "<html>", html, router.ClassConfig, "a web page"},
	{301, "", "", router.ClassConfig, "redirects are not followed"},
	{400, `{"errors":[{"detail":"c4n4ry"}]}`, "application/json", router.ClassBadRecords, "400"}, {400, "<html>", html, router.ClassConfig, "a web page"},
	{401, "", "", router.ClassCredentials, "401"}, {403, "", "", router.ClassCredentials, "403"}, {404, "", "", router.ClassConfig, "404"},
	{405, "", "", router.ClassConfig, "405"}, {407, "", "", router.ClassConfig, "proxy"}, {408, "", "", router.ClassRetry, "408"},
	{409, "", "", router.ClassConfig, "409"}, {413, "", "", router.ClassTooLarge, "413"}, {415, "", "", router.ClassConfig, "415"},
	{422, "", "", router.ClassConfig, "422"}, {425, "", "", router.ClassRetry, "425"}, {429, "", "", router.ClassRetry, "429"},
	{500, "", "", router.ClassRetry, "500"}, {501, "", "", router.ClassRetry, "501"}, {502, "<html>", html, router.ClassRetry, "502"},
	{503, "", "", router.ClassRetry, "503"}, {504, "", "", router.ClassRetry, "504"},
}

// Answers checks the table of what a receiver, or what stands in its place, may answer: own, and the common answers of a status and
// a type that own has not. start is called for each. A 400 to one record alone is that record's.
func Answers(t *testing.T, start func(t *testing.T) *Peer, own ...Answer) {
	table := own
	for _, c := range common {
		has := false
		for _, o := range own {
			has = has || o.Status == c.Status && (o.Type == html) == (c.Type == html)
		}
		if !has {
			table = append(table[:len(table):len(table)], Answer{Status: c.Status, Body: c.Body, Type: c.Type, Want: c.Want, Says: c.Says})
		}
	}
	for _, c := range table {
		p := start(t)
		c.check(t, p)
	}
	i := slices.IndexFunc(table, func(c Answer) bool { return c.Status == 400 && c.Want == router.ClassBadRecords && c.Refused == 0 })
	p := start(t)
	p.Receiver.Fail(table[i].mishap())
	if e := p.send(t, 1); ClassOf(e) != router.ClassBadRecords || e.Bad != 0 {
		t.Errorf("one line: %+v, want it at fault", e)
	}
}

func (c Answer) mishap() Mishap { return Mishap{Status: c.Status, Body: c.Body, Type: c.Type} }

// check has the receiver of p give the answer.
func (c Answer) check(t *testing.T, p *Peer) {
	t.Helper()
	p.Receiver.Fail(c.mishap())
	e := p.send(t, 10)
	if ClassOf(e) != c.Want || e != nil && (!strings.Contains(e.Error(), c.Says) || strings.Contains(e.Error(), "c4n4ry") || e.Bad != router.NoRecord) {
		t.Errorf("%d %q (%s): %+v, want class %q saying %q", c.Status, c.Body, c.Type, e, c.Want, c.Says)
	}
	if e != nil && (e.Refused != c.Refused || (e.Delivered == 10) != (c.Refused > 0) || c.Refused == 0 && e.Delivered != 0) {
		t.Errorf("%d %q (%s): %d delivered, %d of them refused; want %d refused", c.Status, c.Body, c.Type, e.Delivered, e.Refused, c.Refused)
	}
	if told := p.Source.Invalidated() > 0; told != (c.Want == router.ClassCredentials) {
		t.Errorf("%d %q (%s): the source of the credential is told: %v", c.Status, c.Body, c.Type, told)
	}
	if n, ok := p.Router.(router.Noter); ok && (n.Note() != "") != c.Note {
		t.Errorf("%d %q (%s): note %q", c.Status, c.Body, c.Type, n.Note())
	}
}
