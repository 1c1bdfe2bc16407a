//go:build integration

package parity

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/logplugin/router/splunk"
	"github.com/secretref/secretref/logplugin/router/splunk/hectest"
)

const token = "11111111-2222-3333-4444-555555555555"

// The declared differences that show in events.
const (
	joinedLines  = "a line of more than 16 KiB"
	wholeJSON    = "format json: the last piece of a long line is looked at alone"
	badByte      = "format json: a byte that is not UTF-8"
	deepJSON     = "format json: a line nested"
	attrOrder    = "format raw: labels and variables stand in random order"
	oldEscapes   = "20.10 writes backspace"
	polledAcks   = "with splunk-index-acknowledgment"
	gzipLevel    = "splunk-gzip-level -1"
	failedBatch  = "a failed batch is kept"
	literalNames = "{{ and }} in splunk-source"
	noPath       = "splunk-url has no path"
	eventIsAfter = `{"event":`
)

func testSplunk(t *testing.T, h *host) {
	known := newDifferences(t, splunk.Differences)
	full, short := tricky(t), routertest.Input(t, "short")
	for _, c := range []struct {
		name   string
		format string
		ack    bool
		container
	}{
		{"inline", "inline", false, container{lines: full}},
		{"inline with everything", "inline", false, container{lines: full, labels: labels, env: env, options: with(picks, map[string]string{
			"tag": "{{.ImageName}}/{{.Name}}/{{.ID}}", "splunk-source": "my-source", "splunk-sourcetype": "my:type", "splunk-index": "my_index"})}},
		{"inline with gzip", "inline", false, container{lines: full, options: map[string]string{"splunk-gzip": "true", "splunk-gzip-level": "9", "tag": ""}}},
		{"inline on a terminal", "inline", false, container{lines: short, tty: true, options: map[string]string{"splunk-verify-connection": "false"}}},
		{"inline with names of its own", "inline", true, container{lines: short,
			labels:  map[string]string{"line": "l", "source": "s", "tag": "t", "time": "0"},
			options: map[string]string{"labels": "line,source,tag,time", "splunk-index-acknowledgment": "true"}}},
		{"json", "json", false, container{lines: full}},
		{"json with everything", "json", false, container{lines: full, labels: labels, env: env, options: with(picks, map[string]string{
			"tag": `plain <"text">`, "splunk-gzip": "true"})}},
		{"raw", "raw", false, container{lines: onto("stdout", full)}},
		{"raw with everything", "raw", false, container{lines: onto("stderr", full), labels: labels, env: env, options: with(picks, map[string]string{
			"tag": "{{.FullID}} {{upper .Name}}", "splunk-source": "my-source", "splunk-gzip": "true"})}},
		{"raw without a tag", "raw", true, container{lines: onto("stdout", short), options: map[string]string{"tag": "", "splunk-index-acknowledgment": "true"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			hec, err := hectest.Start(hectest.Options{Tokens: []string{token}, Ack: c.ack})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(hec.Close)
			c.options = with(map[string]string{"splunk-url": hec.URL(), "splunk-token": token, "splunk-format": c.format}, c.options)
			docker := h.events(t, hec, c.container, false)
			here := h.events(t, hec, c.container, true)
			compareHeaders(t, docker, here)
			if c.ack && docker.polls == 0 && here.polls > 0 {
				known.shows(polledAcks)
			}
			p := pair{t: t, known: known, format: c.format, tty: c.tty}
			for _, stream := range []string{"stdout", "stderr"} {
				p.compare(c.of(stream), docker.of(c.container, stream), here.of(c.container, stream))
			}
		})
	}
	t.Run("a source in braces", func(t *testing.T) { braces(t, h, known) })
	t.Run("a receiver that is away", func(t *testing.T) { away(t, h, known) })
	t.Run("a path", func(t *testing.T) {
		hec, err := hectest.Start(hectest.Options{Tokens: []string{token}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(hec.Close)
		c := container{options: map[string]string{"splunk-url": hec.URL() + "/proxy", "splunk-token": token, "splunk-verify-connection": "false"}}
		if out, err := h.try(t, c, "splunk", false); err == nil || !strings.Contains(out, "splunk-url") {
			t.Errorf("Docker's driver takes an address with a path: %v, %s", err, out)
		}
		h.run(t, c, "splunk", true)
		known.shows(noPath)
	})
	if t.Failed() {
		return
	}
	absent := []string{gzipLevel} // the size of a body tells it, and the bodies are not the same
	if !h.old {
		absent = append(absent, oldEscapes)
	}
	known.complete(absent...)
}

// braces has a template in an option that is text for Docker's driver.
func braces(t *testing.T, h *host, known *differences) {
	hec, err := hectest.Start(hectest.Options{Tokens: []string{token}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hec.Close)
	c := container{lines: routertest.Input(t, "short"), options: map[string]string{"splunk-url": hec.URL(), "splunk-token": token, "splunk-source": "x-{{.Hostname}}"}}
	const text = `"source":"x-{{.Hostname}}"`
	docker, here := h.events(t, hec, c, false), h.events(t, hec, c, true)
	if theirs, ours := strings.Contains(docker.events[0], text), strings.Contains(here.events[0], text); !theirs || ours || !strings.Contains(here.events[0], `"source":"x-`) {
		t.Fatalf("Docker's driver sends %s, ours %s", docker.events[0], here.events[0])
	}
	known.shows(literalNames)
}

// sent is what one container has caused.
type sent struct {
	events   []string // masked
	requests []hectest.Request
	polls    int // for acknowledgements
}

// events runs c, and waits for all that it has to give.
func (h *host) events(t *testing.T, hec *hectest.Server, c container, ours bool) sent {
	t.Helper()
	want := 0
	for _, l := range c.lines {
		pieces := l.Pieces(c.tty)
		if ours {
			pieces = pieces[:1]
			pieces[0].Line = l.Line
		}
		for _, p := range pieces {
			if c.options["splunk-format"] != "raw" || len(bytes.TrimSpace(p.Line)) > 0 {
				want++
			}
		}
	}
	before, asked := hec.Count(), len(hec.Requests())
	id := h.run(t, c, "splunk", ours)
	routertest.Await(t, "all events are there", func() bool { return hec.Count() >= before+want })
	if ours && c.options["splunk-index-acknowledgment"] == "true" {
		routertest.Await(t, "the acknowledgement is asked for", func() bool { return polls(hec.Requests()[asked:]) > 0 })
	}
	s := sent{requests: hec.Requests()[asked:]}
	s.polls = polls(s.requests)
	for _, e := range hec.Events()[before:] {
		s.events = append(s.events, masked(e.Text, id))
	}
	return s
}

func polls(requests []hectest.Request) (n int) {
	for _, r := range requests {
		if strings.HasPrefix(r.Path, "/services/collector/ack") {
			n++
		}
	}
	return n
}

// of returns the events of one stream; the raw format does not tell it.
func (s sent) of(c container, stream string) []string {
	if c.options["splunk-format"] == "raw" {
		return slices.DeleteFunc(slices.Clone(s.events), func(string) bool { return stream != c.lines[0].Stream })
	}
	return slices.DeleteFunc(slices.Clone(s.events), func(e string) bool {
		var in struct{ Event struct{ Source string } }
		return json.Unmarshal([]byte(e), &in) == nil && in.Event.Source != stream
	})
}

// compareHeaders checks the requests that carry events: path, and every header but those that must differ.
func compareHeaders(t *testing.T, docker, here sent) {
	t.Helper()
	first := func(s sent) hectest.Request {
		i := slices.IndexFunc(s.requests, func(r hectest.Request) bool { return r.Method == "POST" })
		if i < 0 {
			t.Fatalf("no events among %d requests", len(s.requests))
		}
		return s.requests[i]
	}
	want, got := first(docker), first(here)
	if got.Path != want.Path {
		t.Errorf("path %s, Docker's %s", got.Path, want.Path)
	}
	for _, r := range []*hectest.Request{&want, &got} {
		for _, name := range []string{"User-Agent", "Content-Length", "X-Splunk-Request-Channel"} {
			if r.Header.Get(name) != "" {
				r.Header.Set(name, "some")
			}
		}
	}
	for name := range with(flat(want), flat(got)) {
		if flat(got)[name] != flat(want)[name] {
			t.Errorf("header %s is %q, Docker's %q", name, flat(got)[name], flat(want)[name])
		}
	}
}

func flat(r hectest.Request) map[string]string {
	out := map[string]string{}
	for name, values := range r.Header {
		out[name] = strings.Join(values, ", ")
	}
	return out
}

// pair compares what two drivers have sent for the same lines.
type pair struct {
	t      *testing.T
	known  *differences
	format string
	tty    bool
}

func (p pair) compare(lines []routertest.InputLine, docker, here []string) {
	p.t.Helper()
	next := func(from *[]string, who string, n int) []string {
		if len(*from) < n {
			p.t.Fatalf("%s has sent too few events", who)
		}
		out := (*from)[:n]
		*from = (*from)[n:]
		return out
	}
	for _, l := range lines {
		pieces := l.Pieces(p.tty)
		if p.format == "raw" {
			pieces = slices.DeleteFunc(pieces, func(r router.Record) bool { return len(bytes.TrimSpace(r.Line)) == 0 })
		}
		theirs := next(&docker, "Docker's driver", len(pieces))
		if len(pieces) == 0 {
			continue // a line of white space in the raw format: nothing is sent here either
		}
		want := p.want(l.Line, pieces[0].Line, theirs)
		got := hideTime(p.t, next(&here, "our driver", 1)[0])
		if got != want && p.format == "raw" && slices.Equal(words(got), words(want)) {
			p.known.shows(attrOrder)
			want = got
		}
		if got != want {
			p.t.Errorf("an undeclared difference:\ngot      %.600s\nDocker's %.600s", got, want)
		}
	}
	if len(docker) > 0 || len(here) > 0 {
		p.t.Errorf("more events than lines: %d of Docker's driver, %d of ours: %.300q, %.300q", len(docker), len(here), docker, here)
	}
}

// want is Docker's event for a line, with the declared differences that it shows.
func (p pair) want(line, first []byte, theirs []string) string {
	event := hideTime(p.t, theirs[0])
	head, text, tail := p.split(event)
	if rest, ok := strings.CutSuffix(text, `\r"`); ok { // one of the differences of all routers
		text = rest + `"`
		event = head + text + tail
	}
	switch {
	case len(theirs) > 1 || len(first) < len(line):
		p.known.shows(joinedLines)
		if p.format == "json" && p.looksOtherwise(line, theirs) {
			p.known.shows(wholeJSON)
		}
		text = strings.TrimSuffix(decoded(p.t, text), clean(first)) // raw: tag and attributes stand before the line
		event = head + p.encode(text, line) + tail
	case p.format == "json" && strings.HasPrefix(text, strings.Repeat("[", 513)):
		p.known.shows(deepJSON)
		event = head + p.encode("", []byte(`x`+text))
		event = strings.Replace(event, `"x`, `"`, 1) + tail
	case p.format == "json" && !utf8.ValidString(event):
		p.known.shows(badByte)
		event = head + escapeBad(text) + tail
	}
	if now := newEscapes(event); now != event {
		p.known.shows(oldEscapes)
		event = now
	}
	return event
}

// looksOtherwise reports whether a piece looks like JSON and the line does not, or the other way round.
func (p pair) looksOtherwise(line []byte, theirs []string) bool {
	for _, e := range theirs {
		if _, text, _ := p.split(e); strings.HasPrefix(text, `"`) == json.Valid(line) {
			return true
		}
	}
	return false
}

// split cuts an event into what is before the line, the line as JSON, and what is after it.
func (p pair) split(event string) (head, line, tail string) {
	head = eventIsAfter
	if p.format != "raw" {
		head += `{"line":`
	}
	rest, ok := strings.CutPrefix(event, head)
	dec := json.NewDecoder(strings.NewReader(rest))
	var raw json.RawMessage
	if err := dec.Decode(&raw); err != nil || !ok {
		p.t.Fatalf("an event of another shape: %.300s", event)
	}
	return head, rest[:len(raw)], rest[len(raw):]
}

// encode writes a line as Docker's driver would, were it in one piece.
func (p pair) encode(before string, line []byte) string {
	if p.format == "json" && json.Valid(line) {
		out, err := json.Marshal(json.RawMessage(line))
		if err != nil {
			p.t.Fatal(err)
		}
		return string(out)
	}
	out, err := json.Marshal(before + string(line))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(out)
}

func decoded(t *testing.T, text string) (s string) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &s); err != nil && strings.HasPrefix(text, `"`) {
		t.Fatal(err)
	}
	return s
}

// clean has U+FFFD for each byte that is not UTF-8.
func clean(p []byte) string { return string([]rune(string(p))) }

// escapeBad writes bytes that are not UTF-8 as escapes.
func escapeBad(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && size == 1 {
			b.WriteString(`\ufffd`)
		} else {
			b.WriteString(s[:size])
		}
		s = s[size:]
	}
	return b.String()
}

// An escape with its backslash, so that the second half of \\ is not taken for the beginning of one.
var escape = regexp.MustCompile(`\\(u[0-9a-f]{4}|.)`)

// newEscapes writes backspace and form feed as engines since 23 do.
func newEscapes(s string) string {
	return escape.ReplaceAllStringFunc(s, func(e string) string {
		switch e {
		case `\u0008`:
			return `\b`
		case `\u000c`:
			return `\f`
		}
		return e
	})
}

// The time of an event stands behind the line, which may look like one.
var timeOf = regexp.MustCompile(`"time":"[0-9]+\.[0-9]{6}","host":"[^"]*"(,"[a-z]+":"[^"]*")*}$`)

// hideTime hides the time, which must have six decimals.
func hideTime(t *testing.T, event string) string {
	t.Helper()
	at := timeOf.FindStringIndex(event)
	if at == nil {
		t.Fatalf("no time in %.300s", event)
	}
	_, rest, _ := strings.Cut(event[at[0]:], `","`)
	return event[:at[0]] + `"time":"TIME","` + rest
}

func words(event string) []string {
	w := strings.Fields(strings.Replace(event, `:"`, `:" `, 1))
	slices.Sort(w)
	return w
}

// away lets containers end while the receiver refuses. Docker's driver gives up and writes the lines into the daemon's
// log; ours waits, and says nothing of a line.
func away(t *testing.T, h *host, known *differences) {
	hec, err := hectest.Start(hectest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hec.Close)
	const line = "l1ne-that-nobody-takes"
	c := container{lines: []routertest.InputLine{{Stream: "stdout", Line: []byte(line), Newline: true}},
		options: map[string]string{"splunk-url": hec.URL(), "splunk-token": token, "splunk-verify-connection": "false"}}
	hec.FailAlways(&hectest.Fault{Code: 9})
	h.run(t, c, "splunk", false)
	routertest.Await(t, "Docker's driver gives up", func() bool { return strings.Contains(h.dockerd.Log(), line) })
	asked := len(hec.Requests())
	h.run(t, c, "splunk", true)
	routertest.Await(t, "our driver tries", func() bool { return len(hec.Requests()) > asked+1 })
	hec.FailAlways(nil)
	routertest.Await(t, "the line arrives", func() bool { return hec.Count() > 0 })
	if n := strings.Count(h.dockerd.Log(), line); n != 1 || strings.Contains(h.driverLog(), line) || hec.Count() != 1 {
		t.Errorf("the line is %d times in the daemon's log, in the driver's: %v, and %d times at the receiver; want 1, false, 1",
			n, strings.Contains(h.driverLog(), line), hec.Count())
		return
	}
	known.shows(failedBatch)
}
