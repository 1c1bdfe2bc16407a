//go:build integration

package parity

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/secretref/secretref/logplugin/router/awslogs"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/rig"
)

// The declared differences that show in events.
const (
	badRequest   = "20.10 sends bytes that are not UTF-8"
	endsInBreak  = "an event of several lines ends in a newline"
	bothStreams  = "lines of both streams go into one event"
	missingGroup = "a group that is missing"
	refusedPicks = "labels, labels-regex, env and env-regex are refused"
	badStream    = "a tag with a colon"
	flushes      = "awslogs-force-flush-interval-seconds and awslogs-max-buffered-events"
)

// Credentials for an endpoint that accepts all of them.
const (
	keyID  = "AKIAIOSFODNN7EXAMPLE"
	awsKey = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	region = "eu-west-1"
)

// cloud is moto, and how the containers of a test use it.
type cloud struct {
	t    *testing.T
	host *host
	moto *rig.Moto
}

func testAwslogs(t *testing.T, h *host) {
	known := newDifferences(t, awslogs.Differences)
	a := cloud{t: t, host: h, moto: rig.Use(t, rig.StartMoto, rig.MotoOptions{})}
	// Docker's driver finds credentials in the daemon's home; ours has them in its environment.
	aws := filepath.Join(h.dockerd.Dir(), ".aws")
	if err := os.Mkdir(aws, 0o700); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", keyID, awsKey)
	if err := os.WriteFile(filepath.Join(aws, "credentials"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// One stream of output, because an event does not say from which it is.
	full, multi := onto("stdout", tricky(t)), onto("stdout", dated())
	valid, short := validOf(full), validOf(onto("stdout", routertest.Input(t, "short")))
	for i, c := range []struct {
		name, stream string // "" = the id
		container
	}{
		{"a stream", "web", container{lines: valid, options: map[string]string{"awslogs-stream": "web", "tag": "x{{.ID}}"}}},
		{"a tag", name + "-awslogs/ID12", container{lines: short, options: map[string]string{"tag": "{{.Name}}/{{.ID}}"}}},
		{"on a terminal, with an empty tag", "", container{lines: short, tty: true, options: map[string]string{"tag": ""}}},
		{"a pattern", "web", container{lines: multi, options: map[string]string{"awslogs-stream": "web", "awslogs-multiline-pattern": `^\d{4}-`}}},
		{"a format of dates", "web", container{lines: multi, options: map[string]string{"awslogs-stream": "web", "awslogs-datetime-format": `%Y-%m-%d %H:%M:%S`}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := cloud{t, h, a.moto}
			docker := a.events(c.container, fmt.Sprintf("docker-%d", i), c.stream, false)
			here := a.events(c.container, fmt.Sprintf("here-%d", i), c.stream, true)
			isMulti := c.options["awslogs-multiline-pattern"] != "" || c.options["awslogs-datetime-format"] != ""
			compareEvents(t, known, isMulti, docker, here)
		})
	}
	t.Run("bytes that are not UTF-8", func(t *testing.T) { cloud{t, h, a.moto}.badBytes(known, full) })
	t.Run("refused", func(t *testing.T) { cloud{t, h, a.moto}.refused(known) })
	if t.Failed() {
		return
	}
	absent := []string{bothStreams, flushes} // matters of luck, and of time
	if !h.old {
		absent = append(absent, badRequest)
	}
	known.complete(absent...)
}

// validOf leaves out the lines that are not UTF-8.
func validOf(lines []routertest.InputLine) []routertest.InputLine {
	return slices.DeleteFunc(slices.Clone(lines), func(l routertest.InputLine) bool { return !utf8.Valid(l.Line) })
}

// dated are lines of which some begin an event.
func dated() (lines []routertest.InputLine) {
	for _, text := range []string{"before the first match", "2026-11-23 10:00:00 one", "  goes on", "", "  after an empty line", "text, then 2026-11-23 10:00:02",
		"2026-11-23 10:00:03 two", strings.Repeat("x", 20_000), "2026-11-23 10:00:04 three"} {
		lines = append(lines, routertest.InputLine{Line: []byte(text), Newline: true})
	}
	lines[len(lines)-1].Newline = false
	return lines
}

func (a cloud) options(c container, group string) container {
	c.options = with(map[string]string{"awslogs-region": region, "awslogs-endpoint": a.moto.URL(), "awslogs-group": group, "awslogs-create-group": "true"}, c.options)
	return c
}

// events runs c, and returns what is in the stream once its last line is there.
func (a cloud) events(c container, group, stream string, ours bool) (events []string) {
	a.t.Helper()
	id := a.host.run(a.t, a.options(c, group), "awslogs", ours)
	if stream == "" {
		stream = id
	}
	stream = strings.Replace(stream, "ID12", id[:12], 1)
	last := strings.ToValidUTF8(string(c.lines[len(c.lines)-1].Line), "\ufffd")
	routertest.Await(a.t, "the last line is in the stream "+stream, func() bool {
		events = a.read(group, stream)
		return slices.ContainsFunc(events, func(e string) bool { return strings.Contains(e, last) })
	})
	return events
}

// read returns the events of a stream; nil when it is not there.
func (a cloud) read(group, stream string) (messages []string) {
	a.t.Helper()
	body, err := json.Marshal(map[string]any{"logGroupName": group, "logStreamName": stream, "startFromHead": true})
	if err != nil {
		a.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(a.t.Context(), http.MethodPost, a.moto.URL(), bytes.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "Logs_20140328.GetLogEvents")
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+keyID+"/20261123/"+region+"/logs/aws4_request, SignedHeaders=host, Signature=0")
	r.Close = true // leave no idle connection behind
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err != nil || res.StatusCode != http.StatusOK {
		return nil
	}
	var answer struct{ Events []struct{ Message string } }
	if err := json.Unmarshal(text, &answer); err != nil {
		a.t.Fatal(err)
	}
	for _, e := range answer.Events {
		messages = append(messages, e.Message)
	}
	return messages
}

func compareEvents(t *testing.T, known *differences, multi bool, docker, here []string) {
	t.Helper()
	var want []string
	for _, e := range docker {
		if multi && strings.HasSuffix(e, "\n") {
			known.shows(endsInBreak)
			e = strings.TrimSuffix(e, "\n")
		}
		if e = strings.TrimSuffix(e, "\r"); e != "" { // one of the differences of all routers
			want = append(want, e)
		}
	}
	if len(here) != len(want) {
		t.Fatalf("%d events, Docker's driver has sent %d: %.1000q, %.1000q", len(here), len(want), here, want)
	}
	for i := range want {
		if here[i] != want[i] {
			t.Errorf("an undeclared difference:\ngot      %.400q\nDocker's %.400q", here[i], want[i])
		}
	}
}

// badBytes has lines that are not UTF-8 sent among others.
func (a cloud) badBytes(known *differences, lines []routertest.InputLine) {
	bad := slices.DeleteFunc(slices.Clone(lines), func(l routertest.InputLine) bool { return utf8.Valid(l.Line) })
	bad = append(bad, routertest.InputLine{Stream: "stdout", Line: []byte("the last line"), Newline: true})
	c := container{lines: bad, options: map[string]string{"awslogs-stream": "web"}}
	here := a.events(c, "here-bad", "web", true)
	if !a.host.old {
		compareEvents(a.t, known, false, a.events(c, "docker-bad", "web", false), here)
		return
	}
	a.host.run(a.t, a.options(c, "docker-bad"), "awslogs", false)
	routertest.Await(a.t, "Docker's driver gives up", func() bool { return strings.Contains(a.host.dockerd.Log(), "Failed to put log events") })
	if got := a.read("docker-bad", "web"); len(got) > 0 {
		a.t.Errorf("Docker's driver has sent %.300q, want nothing", got)
	}
	for i, l := range bad {
		if want := string([]rune(string(bytes.TrimSuffix(l.Line, []byte("\r"))))); len(here) != len(bad) || here[i] != want {
			a.t.Errorf("event %d of %d is %.300q, want %.300q", i, len(here), here[i], want)
		}
	}
	known.shows(badRequest)
}

// refused are containers that one of the drivers refuses.
func (a cloud) refused(known *differences) {
	line := []routertest.InputLine{{Stream: "stdout", Line: []byte("line"), Newline: true}}
	for _, c := range []struct {
		name, difference string
		options          map[string]string
		docker, here     string // in what the daemon says; "" = the container starts
	}{
		{"no group", missingGroup, map[string]string{"awslogs-create-group": "false"}, "ResourceNotFoundException", ""},
		{"picks", refusedPicks, map[string]string{"labels": "tier", "env": "ZONE"}, "unknown log opt", ""},
		{"colon", badStream, map[string]string{"tag": "a:b"}, "", ""},
		{"two ways", "", map[string]string{"awslogs-multiline-pattern": "x", "awslogs-datetime-format": "%Y"}, "at the same time", "give one"},
		{"interval", "", map[string]string{"awslogs-force-flush-interval-seconds": "0"}, "positive integer", "awslogs-force-flush-interval-seconds"},
		{"unknown", "", map[string]string{"awslogs-foo": "1"}, "unknown log opt", "awslogs-foo"},
	} {
		for driver, want := range map[bool]string{false: c.docker, true: c.here} {
			run := a.options(container{lines: line, options: c.options}, "refused-"+c.name)
			run.options["awslogs-group"] = strings.ReplaceAll(run.options["awslogs-group"], " ", "-")
			out, err := a.host.try(a.t, run, "awslogs", driver)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(out, want) {
				a.t.Errorf("%s, ours: %v: %v, %s; want %q", c.name, driver, err, out, want)
			} else if c.difference != "" {
				known.shows(c.difference)
			}
		}
	}
	if got := a.read("refused-colon", "a:b"); len(got) > 1 { // moto takes what Docker's driver sends
		a.t.Errorf("ours sends to a stream of that name too: %q", got)
	}
}
