//go:build integration

package parity

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/gelf"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

// The declared differences that show in messages.
const (
	forbiddenID = "a label or a variable named id"
	overwrites  = "labels and variables overwrite _container_id"
	reconnects  = "gelf-tcp-max-reconnect and gelf-tcp-reconnect-delay decide"
	needsPort   = "gelf-address must have a port"
	gelfEscapes = "20.10 writes backspace"
)

func testGELF(t *testing.T, h *host) {
	known := newDifferences(t, gelf.Differences)
	full, short := tricky(t), routertest.Input(t, "short")
	own := map[string]string{"id": "i", "container_id": "evil", "tag": "evil", "image_name": "evil", "_x": "y"}
	for _, c := range []struct {
		name, network string
		labels        map[string]string // with the names of the driver's own fields
		container
	}{
		{"gzip", "udp", nil, container{lines: full}},
		{"zlib", "udp", nil, container{lines: full, labels: labels, env: env, options: with(picks, map[string]string{
			"gelf-compression-type": "zlib", "gelf-compression-level": "9", "tag": "{{.ImageName}}/{{.Name}}/{{.ID}}"})}},
		{"uncompressed", "udp", nil, container{lines: full, options: map[string]string{"gelf-compression-type": "none"}}},
		{"TCP", "tcp", nil, container{lines: full, labels: labels, env: env, options: with(picks, map[string]string{
			"gelf-tcp-max-reconnect": "5", "gelf-tcp-reconnect-delay": "2", "tag": ""})}},
		{"names of its own", "tcp", own, container{lines: short, labels: own, options: map[string]string{"labels": "id,container_id,tag,image_name,_x"}}},
		{"on a terminal", "tcp", nil, container{lines: short, tty: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, address, _ := startSocket(t, h, c.network, splitAt(0))
			c.options = with(map[string]string{"gelf-address": address}, c.options)
			s := bySocket{t: t, host: h, driver: "gelf", receiver: r, stream: gelfStream,
				whole: func(all [][]byte) []string { return gelfMessages(t, all) }}
			docker, here := s.messages(c.container, false), s.messages(c.container, true)
			for _, stream := range []string{"stdout", "stderr"} {
				s.pairs(c.container, stream, docker, here, func(r router.Record, docker, here string) { compareGELF(t, known, c.labels, r, docker, here) })
			}
		})
	}
	t.Run("no port", func(t *testing.T) {
		c := container{options: map[string]string{"gelf-address": "udp://127.0.0.1"}}
		if out, err := h.try(t, c, "gelf", false); err == nil || !strings.Contains(out, "gelf-address") {
			t.Errorf("Docker's driver takes an address without a port: %v, %s", err, out)
		}
		h.run(t, c, "gelf", true)
		known.shows(needsPort)
	})
	t.Run("a receiver that is away", func(t *testing.T) {
		r, address, _ := startSocket(t, h, "tcp", splitAt(0))
		r.SetFault(routertest.SocketAway)
		c := container{lines: short, options: map[string]string{"gelf-address": address}}
		if out, err := h.try(t, c, "gelf", false); err == nil || !strings.Contains(out, "connection refused") {
			t.Errorf("Docker's driver without a receiver: %v, %s; want a refusal", err, out)
		}
		h.run(t, c, "gelf", true)
		r.SetFault(routertest.SocketWell)
		routertest.Await(t, "a line arrives", func() bool { return len(r.Messages()) > 0 })
		known.shows(keepsFrom)
	})
	if t.Failed() {
		return
	}
	absent := []string{reconnects} // a matter of a receiver that is away
	if !h.old {
		absent = append(absent, gelfEscapes)
	}
	known.complete(absent...)
}

// gelfMessages are the messages of what has arrived: chunks put together, and nothing compressed.
func gelfMessages(t *testing.T, all [][]byte) (out []string) {
	const head = 12
	chunks := map[string][][]byte{}
	for _, m := range all {
		if bytes.HasPrefix(m, []byte{0x1e, 0x0f}) && len(m) > head {
			id := string(m[2:10])
			if chunks[id] == nil {
				chunks[id] = make([][]byte, m[11])
			}
			chunks[id][m[10]] = m[head:]
			whole := bytes.Join(chunks[id], nil)
			for _, c := range chunks[id] {
				if c == nil {
					whole = nil
				}
			}
			if m = whole; m == nil {
				continue
			}
		}
		var r io.Reader = bytes.NewReader(m)
		var err error
		switch m[0] {
		case 0x1f:
			r, err = gzip.NewReader(r)
		case 0x78:
			r, err = zlib.NewReader(r)
		}
		if err == nil {
			m, err = io.ReadAll(r)
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(m))
	}
	return out
}

// gelfStream tells the stream by the level.
func gelfStream(message string) string {
	var m struct{ Level int }
	if err := json.Unmarshal([]byte(message), &m); err == nil && m.Level == 3 {
		return "stderr"
	}
	return "stdout"
}

// What differs by the moment: a time in milliseconds, and when the container was made.
var gelfTimes = regexp.MustCompile(`("timestamp":)\d{10}(?:\.\d{1,3})?,|("_created":)"\d{4}-\d\d-\d\dT[0-9:.]+Z"`)

func compareGELF(t *testing.T, known *differences, own map[string]string, r router.Record, docker, here string) {
	t.Helper()
	want, got := gelfTimes.ReplaceAllString(docker, "${1}${2}TIME"), gelfTimes.ReplaceAllString(here, "${1}${2}TIME")
	if strings.Count(want, "TIME") != 2 {
		t.Fatalf("no times in %.300s", docker)
	}
	if now := newEscapes(want); now != want {
		known.shows(gelfEscapes)
		want = now
	}
	if own != nil {
		want = withOwnFields(known, want)
	}
	if isEnd(r) { // one of the differences of all routers
		want = strings.Replace(want, `\r","timestamp"`, `","timestamp"`, 1)
	}
	if got != want {
		t.Errorf("an undeclared difference:\ngot      %.700s\nDocker's %.700s", got, want)
	}
}

// withOwnFields takes away what labels have written over Docker's fields.
func withOwnFields(known *differences, message string) string {
	if without := strings.Replace(message, `"_id":"i",`, "", 1); without != message {
		known.shows(forbiddenID)
		message = without
	}
	own := strings.NewReplacer(`"_container_id":"evil"`, `"_container_id":"ID64"`, `"_tag":"evil"`, `"_tag":"ID12"`, `"_image_name":"evil"`, `"_image_name":"`+image+`"`)
	if now := own.Replace(message); now != message {
		known.shows(overwrites)
		message = now
	}
	return message
}
