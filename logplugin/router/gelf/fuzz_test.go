package gelf

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

// FuzzMessage gives the encoder any line, tag and label: what it writes is one JSON object that says the same, ended by the only NUL, and
// the fields of the driver are its own. As datagrams it comes back the same from each compression.
func FuzzMessage(f *testing.F) {
	for _, line := range []string{"plain", "a\nb", "\x00\xff", `","timestamp":1,"short_message":"`, strings.Repeat("x", 64<<10), strings.Repeat("\xff", 32<<10), "é", `\`} {
		f.Add([]byte(line), "web", "team", "blue")
		f.Add([]byte(line), "a\x00\"}\n", "id", `","timestamp":`)
		f.Add([]byte(line), "", "container_id", "forged")
	}
	all := make([]*compressor, len(compressions))
	for i, kind := range compressions {
		all[i] = &compressor{}
		all[i].set(kind, 1)
	}
	f.Fuzz(func(t *testing.T, line []byte, tag, name, value string) {
		s := routertest.Session("web")
		s.Tag, s.Attrs = tag, map[string]string{name: value}
		message := newEncoder(s).AppendRecord(nil, &router.Record{TimeNano: 1795463301547679123, Line: line})
		if len(line) == 0 {
			if len(message) > 0 {
				t.Errorf("an empty line gives %q", message)
			}
			return
		}
		fields := map[string]any{}
		err := json.Unmarshal(bytes.TrimSuffix(message, []byte{0}), &fields)
		if err != nil || bytes.IndexByte(message, 0) != len(message)-1 {
			t.Fatalf("line %.200q, tag %q, label %q=%q: %.300q: %v", line, tag, name, value, message, err)
		}
		for field, want := range map[string]any{"short_message": clean(string(line)), "host": s.Host, "_container_id": s.ContainerID, "_id": nil, "version": "1.1", "level": 6.0} {
			if got := fields[field]; got != want {
				t.Errorf("%s is %.200q, want %.200q", field, got, want)
			}
		}
		for _, z := range all {
			var sent [][]byte
			if err := z.datagrams(message, func(p []byte) error { sent = append(sent, bytes.Clone(p)); return nil }); err != nil {
				t.Fatal(err)
			}
			datagramsSay(t, z.kind, sent, clean(string(line)))
		}
	})
}

// datagramsSay checks that they are one message of this line, which may be cut.
func datagramsSay(t *testing.T, kind string, sent [][]byte, want string) {
	t.Helper()
	whole := sent[0]
	if len(sent) > 1 {
		whole = nil
		for i, p := range sent {
			if len(sent) > maxChunks || len(p) > maxDatagram || p[0] != 0x1e || p[1] != 0x0f || int(p[10]) != i || int(p[11]) != len(sent) || !bytes.Equal(p[2:10], sent[0][2:10]) {
				t.Fatalf("%s: chunk %d of %d has the head %x and %d bytes", kind, i, len(sent), p[:chunkHead], len(p))
			}
			whole = append(whole, p[chunkHead:]...)
		}
	}
	got := line(t, whole)
	if head, isCut := strings.CutSuffix(got, router.CutMark); got != want && (!isCut || !strings.HasPrefix(want, head)) {
		t.Errorf("%s: %d datagrams say %.200q, want %.200q", kind, len(sent), got, want)
	}
}

// clean has U+FFFD for each byte that is not UTF-8.
func clean(s string) string { return string([]rune(s)) }
