//go:build integration

package fluentd

import (
	"encoding/base64"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/polltest"
	"github.com/secretref/secretref/shared/porttest"
)

// startOtel starts the OpenTelemetry Collector's receiver. It knows no handshake and no TLS.
func startOtel(t *testing.T, network string, refusals int) *peer {
	t.Helper()
	if network == "tcp" {
		return startOtelAt(t, porttest.Address(t), refusals)
	}
	return startOtelAt(t, "unix://"+filepath.Join(t.TempDir(), "s"), refusals)
}

func startOtelAt(t *testing.T, address string, refusals int) *peer {
	t.Helper()
	p, _ := startPeer(t, "otelreceiver", "fluentforward", address, strconv.Itoa(refusals))
	p.address = address
	return p
}

// received is one record as the receiver has it.
type received struct {
	nano   string
	body   string
	values map[string]string
}

func (p *peer) record(t *testing.T) received {
	t.Helper()
	l := p.next(t)
	plain := func(v any) string {
		text, _ := v.(string)
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	nano, _ := l["Nano"].(float64) // exact to 256 ns, and the test's times are multiples
	r := received{fmt.Sprintf("%.0f", nano), plain(l["Body"]), map[string]string{}}
	values, _ := l["Values"].(map[string]any)
	for k, v := range values {
		r.values[k] = plain(v)
	}
	return r
}

// TestOtelReceiver sends tricky records of two tags in every mode, and wants them back byte for byte.
func TestOtelReceiver(t *testing.T) {
	const second, nano = 1795463301, 1795463301_000000256
	for _, c := range []struct {
		name    string
		network string
		options map[string]string
		nano    int64
	}{
		{"plain", "tcp", nil, nano},
		{"ack", "tcp", map[string]string{"fluentd-request-ack": "true"}, nano},
		{"gzip, ack", "tcp", map[string]string{"fluentd-request-ack": "true", "fluentd-compress": "gzip"}, nano},
		{"unix, seconds", "unix", map[string]string{"fluentd-sub-second-precision": "false", "fluentd-compress": "gzip"}, second * 1e9},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := startOtel(t, c.network, 0)
			r, _, _ := to(t, p, false, c.options, nil)
			config := Config{r.options}
			b := &router.Batch{}
			var want []received
			for _, tag := range []string{"one", strings.Repeat("two.", 100)} {
				e, err := NewEncoder(t.Context(), config, router.Session{Tag: tag, ContainerID: strings.Repeat("0", 64), ContainerName: "/n", Attrs: map[string]string{"label": "\xff é", "empty": ""}})
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range routertest.Input(t, "full") {
					for _, piece := range l.Pieces(false) {
						piece.TimeNano = nano
						record := received{fmt.Sprint(c.nano), string(piece.Line), map[string]string{"fluent.tag": tag, "source": l.Stream,
							"container_id": strings.Repeat("0", 64), "container_name": "/n", "label": "\xff é", "empty": ""}}
						if piece.Partial {
							piece.PartialID = []byte("id")
							maps.Copy(record.values, map[string]string{"partial_message": "true", "partial_id": "id",
								"partial_ordinal": fmt.Sprint(piece.Ordinal), "partial_last": fmt.Sprint(piece.Last)})
						}
						b.Append(e, &piece)
						want = append(want, record)
					}
				}
			}
			for range 2 {
				if err := r.Send(t.Context(), b); err != nil {
					t.Fatal(err)
				}
				for i, w := range want {
					if got := p.record(t); got.nano != w.nano || got.body != w.body || !maps.Equal(got.values, w.values) {
						t.Fatalf("record %d is %.500q, want %.500q", i, got, w)
					}
				}
			}
		})
	}
}

// TestOtelReceiverLimits sends as much in one message as we ever do.
func TestOtelReceiverLimits(t *testing.T) {
	p := startOtel(t, "tcp", 0)
	r, encoders, _ := to(t, p, false, map[string]string{"fluentd-request-ack": "true"}, nil)
	b := &router.Batch{}
	for _, n := range []int{maxMessage - 1000, 1_900_000, 1_900_000, 1_900_000} {
		b.Append(encoders[0], &router.Record{Line: []byte(strings.Repeat("x", n))})
	}
	if err := r.Send(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{maxMessage - 1000, 1_900_000, 1_900_000, 1_900_000} {
		if got := len(p.record(t).body); got != want {
			t.Errorf("a line of %d bytes, want %d", got, want)
		}
	}
}

// TestOtelReceiverRefuses has a receiver whose exporter fails: it does not acknowledge, and closes.
func TestOtelReceiverRefuses(t *testing.T) {
	p := startOtel(t, "tcp", 1)
	r, encoders, _ := to(t, p, false, map[string]string{"fluentd-request-ack": "true"}, nil)
	b, lines := routertest.Batch(encoders[:1], 10)
	err := r.Send(t.Context(), b)
	if router.ClassOf(err) != router.ClassRetry {
		t.Fatalf("%v, want class retry", err)
	}
	if err := r.Send(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for _, want := range lines {
		if got := p.record(t).body; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if err := r.Verify(t.Context()); err != nil {
		t.Errorf("Verify: %v", err)
	}
}

// TestOtelReceiverIsKilled kills the receiver within a message of a batch, and starts it again at its address: no line is missing, and
// the order is kept.
func TestOtelReceiverIsKilled(t *testing.T) {
	address := porttest.Address(t)
	first := startOtelAt(t, address, 0)
	r, encoders, _ := to(t, first, false, map[string]string{"fluentd-request-ack": "true"}, nil)
	b, lines := &router.Batch{}, []string{}
	for i := range 3 * peerLines / 2 { // two messages, of which the second is more than the receiver can get rid of
		lines = append(lines, fmt.Sprintf("%06d%s", i, strings.Repeat("x", 400)))
		b.Append(encoders[0], &router.Record{TimeNano: 1, Source: []byte("stdout"), Line: []byte(lines[i])})
	}
	sent := make(chan error, 1)
	go func() { sent <- r.Send(t.Context(), b) }()
	polltest.Until(t, 20*time.Second, "the receiver has written what fits", func() bool { return len(first.lines) == peerLines })
	select {
	case err := <-sent:
		t.Fatalf("the batch was sent before the kill: %v", err)
	default:
	}
	if err := first.process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; router.ClassOf(err) != router.ClassRetry {
		t.Fatalf("%v, want class retry", err)
	}
	taken := 0 // complete lines, before the kill
	for range first.lines {
		taken++
	}
	second := startOtelAt(t, address, 0)
	go func() { sent <- r.Send(t.Context(), b) }()
	var got []string
	for len(got) == 0 || got[len(got)-1] != lines[len(lines)-1] {
		got = append(got, second.record(t).body)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	if missing := len(lines) - len(got); missing > taken || !slices.Equal(got, lines[max(0, missing):]) {
		t.Errorf("the second receiver has %d of %d lines, and the first had %d", len(got), len(lines), taken)
	}
}
