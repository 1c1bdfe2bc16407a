//go:build integration

package parity

import (
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router/fluentd"
	"github.com/secretref/secretref/logplugin/router/fluentd/forwardtest"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

// The declared differences that show in records.
const (
	labelsWin    = "labels and variables overwrite log"
	pieceOfNone  = "a label partial_message stands in whole lines"
	randomKeys   = "the keys of a record are in random order"
	singleLines  = "each line is a message of its own"
	mixedAcks    = "fluentd-request-ack: lines of both streams"
	after2038    = "seconds are an int32"
	before1970   = "fluentd-sub-second-precision: a time before 1970"
	asyncOptions = "fluentd-async, -async-reconnect-interval"
	writeTimeout = "fluentd-write-timeout is off"
)

func testFluentd(t *testing.T, h *host) {
	known := newDifferences(t, fluentd.Differences)
	full, short := tricky(t), routertest.Input(t, "short")
	names := map[string]string{}
	for _, k := range []string{"source", "log", "container_id", "container_name", "tag", "partial_message", "partial_last"} {
		names[k] = "evil"
	}
	for _, c := range []struct {
		name   string
		unix   bool
		ours   map[string]string // options that only our driver has
		labels map[string]string // that Docker's driver puts over its own keys
		container
	}{
		{name: "seconds", container: container{lines: full}},
		// One stream, because of mixedAcks.
		{name: "sub-second, ack", container: container{lines: onto("stdout", full), options: map[string]string{
			"fluentd-sub-second-precision": "true", "fluentd-request-ack": "true", "tag": ""}}},
		{name: "everything", ours: map[string]string{"fluentd-compress": "gzip"}, container: container{lines: full, labels: labels, env: env, options: with(picks, map[string]string{
			"tag": "docker.{{.ImageName}}/{{.Name}}/{{.ID}}", "fluentd-async": "false", "fluentd-buffer-limit": "8m", "fluentd-retry-wait": "2s", "fluentd-max-retries": "10"})}},
		{name: "unix, on a terminal", unix: true, container: container{lines: short, tty: true}},
		{name: "labels with the names of its own keys", labels: names, container: container{lines: onto("stderr", full), labels: names, options: map[string]string{
			"labels": strings.Join(slices.Collect(maps.Keys(names)), ",")}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := forwardtest.Options{}
			if c.unix {
				o.Network, o.Address = "unix", filepath.Join(t.TempDir(), "s")
			}
			server, err := forwardtest.Start(o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(server.Close)
			c.options = with(map[string]string{"fluentd-address": server.Address()}, c.options)
			docker := h.entries(t, server, c.container, false)
			c.options = with(c.options, c.ours)
			here := h.entries(t, server, c.container, true)
			r := records{t: t, known: known, labels: c.labels}
			r.messages(docker.messages, here.messages, c.options)
			if len(c.labels) > 0 { // they hide the stream
				r.compare(c.lines, docker.entries, here.entries)
				return
			}
			for _, stream := range []string{"stdout", "stderr"} {
				r.compare(c.of(stream), docker.of(stream), here.of(stream))
			}
		})
	}
	if !t.Failed() {
		// Matters of time, of a receiver that is away, and of luck.
		known.complete(after2038, before1970, asyncOptions, writeTimeout, mixedAcks)
	}
}

// forwarded is what one container has caused.
type forwarded struct {
	entries  []forwardtest.Entry // masked
	messages []forwardtest.Message
}

// entries runs c, and waits for all that it has to give.
func (h *host) entries(t *testing.T, server *forwardtest.Server, c container, ours bool) forwarded {
	t.Helper()
	want := 0
	for _, l := range c.lines {
		want += len(l.Pieces(c.tty))
	}
	before, messages := server.Count(), len(server.Messages())
	id := h.run(t, c, "fluentd", ours)
	routertest.Await(t, "all records are there", func() bool { return server.Count() >= before+want })
	f := forwarded{messages: server.Messages()[messages:]}
	for _, e := range server.Entries()[before:] {
		e.Tag = masked(e.Tag, id)
		for i, p := range e.Record {
			if s, ok := p.Value.(forwardtest.Str); ok && p.Key != forwardtest.Str("log") {
				e.Record[i].Value = forwardtest.Str(masked(string(s), id))
			}
		}
		f.entries = append(f.entries, e)
	}
	return f
}

func (f forwarded) of(stream string) []forwardtest.Entry {
	return slices.DeleteFunc(slices.Clone(f.entries), func(e forwardtest.Entry) bool { return e.Get("source") != stream })
}

// records compares what two drivers have sent for the same lines.
type records struct {
	t      *testing.T
	known  *differences
	labels map[string]string
}

func (r records) messages(docker, here []forwardtest.Message, options map[string]string) {
	r.t.Helper()
	mode := "PackedForward"
	if options["fluentd-compress"] == "gzip" {
		mode = "Compressed" + mode
	}
	ack := options["fluentd-request-ack"] == "true"
	for _, m := range docker {
		if m.Mode != "Message" || m.Chunk != ack {
			r.t.Errorf("Docker's driver sends %+v, want mode Message and a chunk: %v", m, ack)
		}
	}
	for _, m := range here {
		if m.Mode != mode || m.Chunk != ack {
			r.t.Errorf("our driver sends %+v, want mode %s and a chunk: %v", m, mode, ack)
		}
	}
	if len(here) < len(docker) {
		r.known.shows(singleLines)
	}
}

func (r records) compare(lines []routertest.InputLine, docker, here []forwardtest.Entry) {
	r.t.Helper()
	if len(docker) != len(here) {
		r.t.Fatalf("%d records, Docker's driver has sent %d", len(here), len(docker))
	}
	n := 0
	for _, l := range lines {
		ids := [2]string{} // of the line, Docker's and ours
		for i, p := range l.Pieces(false) {
			if n == len(docker) {
				r.t.Fatalf("%d records for more pieces of lines", n)
			}
			want, got := docker[n], here[n]
			n++
			if i == 0 {
				ids = [2]string{want.Get("partial_id"), got.Get("partial_id")}
			}
			if p.Partial && (want.Get("partial_id") != ids[0] || got.Get("partial_id") != ids[1] || !hex64.MatchString(ids[1])) {
				r.t.Errorf("a line's pieces have the ids %q and %q, Docker's %q and %q", ids[1], got.Get("partial_id"), ids[0], want.Get("partial_id"))
			}
			r.one(want, got, p.Partial, string(p.Line))
		}
	}
	if n != len(docker) {
		r.t.Errorf("%d records for %d pieces of lines", len(docker), n)
	}
}

var hex64 = regexp.MustCompile("^[0-9a-f]{64}$")

func (r records) one(docker, here forwardtest.Entry, partial bool, line string) {
	r.t.Helper()
	want, got := byKey(docker.Record), byKey(here.Record)
	if len(want) != len(docker.Record) || len(got) != len(here.Record) {
		r.t.Errorf("a key is twice in a record: %v, %v", docker.Record, here.Record)
	}
	for k, v := range r.labels { // declared: Docker's driver lets them win
		switch k {
		case "log", "source", "container_id", "container_name":
			if want[k] == forwardtest.Str(v) && got[k] != want[k] {
				r.known.shows(labelsWin)
				want[k] = map[string]forwardtest.Str{"log": forwardtest.Str(line), "source": "stderr", "container_id": "ID64", "container_name": "/" + name}[k]
			}
		case "partial_message", "partial_last":
			if !partial && want[k] == forwardtest.Str(v) {
				r.known.shows(pieceOfNone)
				delete(want, k)
			}
		}
	}
	if log, ok := want["log"].(forwardtest.Str); ok && (!partial || want["partial_last"] == forwardtest.Str("true")) { // one of the differences of all routers
		want["log"] = forwardtest.Str(strings.TrimSuffix(string(log), "\r"))
	}
	if want["partial_id"] != nil {
		want["partial_id"] = got["partial_id"] // compared with those of the line
	}
	if here.Tag != docker.Tag || !maps.Equal(got, want) {
		r.t.Errorf("an undeclared difference:\ngot      %q %.400q\nDocker's %q %.400q", here.Tag, got, docker.Tag, want)
	}
	if fmt := reflect.TypeOf(docker.Time); reflect.TypeOf(here.Time) != fmt {
		r.t.Errorf("time %v is %T, Docker's %v is %v", here.Time, here.Time, docker.Time, fmt)
	}
	if !slices.EqualFunc(docker.Record, here.Record, func(a, b forwardtest.Pair) bool { return a.Key == b.Key }) {
		r.known.shows(randomKeys)
	}
}

func byKey(record []forwardtest.Pair) map[string]any {
	out := map[string]any{}
	for _, p := range record {
		k, _ := p.Key.(forwardtest.Str)
		out[string(k)] = p.Value
	}
	return out
}
