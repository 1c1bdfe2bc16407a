package routertest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router"
)

// Several gives a router two addresses as the option name, with a comma between them, and wants it to leave the first, which fails,
// for the second: no line is lost, and all are in order. options are those besides; received returns what the second has. Both
// addresses are asked for by allow_routers.
func Several(t *testing.T, kind router.Kind, name string, options map[string]string, first, second *Receiver, received func() []string) {
	t.Helper()
	all := map[string]string{name: first.URL() + "," + second.URL()}
	maps.Copy(all, options)
	v := router.Options{Plain: all}.Unresolved()
	var addresses []string
	for _, a := range kind.Addresses(v) {
		addresses = append(addresses, a.String())
	}
	if want := []string{first.URL(), second.URL()}; !slices.Equal(addresses, want) || v.Err() != nil {
		t.Errorf("the addresses are %q, %v; want %q", addresses, v.Err(), want)
	}
	c, e := newEncoder(t, kind, all)
	r := c.Router()
	t.Cleanup(func() { _ = r.Close() })
	first.FailAlways(&Mishap{Status: 503})
	b, lines := Batch([]router.Encoder{e}, 10)
	for range 3 { // then the first is left
		if e := Send(t, r, b); ClassOf(e) != router.ClassRetry || !strings.Contains(e.Error(), first.URL()) {
			t.Errorf("%v, want class retry and %s", e, first.URL())
		}
	}
	for from := 0; from < len(lines); from += 5 {
		if e := Send(t, r, b.Slice(from, from+5)); e != nil {
			t.Error(e)
		}
	}
	if got := received(); !slices.Equal(got, lines) {
		t.Errorf("the second has %q, want %q", got, lines)
	}
	for _, x := range second.Exchanges() {
		if was := first.Exchanges()[0]; x.Method != was.Method || x.Path != was.Path || x.Header.Get("Content-Type") != was.Header.Get("Content-Type") {
			t.Errorf("the second gets %s %s, and the first got %s %s", x.Method, x.Path, was.Method, was.Path)
		}
	}
}

// Queried is a receiver that we did not write.
type Queried interface {
	URL() string
	Query(ctx context.Context, query string) ([]map[string]string, error)
	Stop() error
}

// KilledReceiver sends lines to the first of two receivers, ends that in the middle, and wants the second to have all others, each
// once and in order.
func KilledReceiver(t *testing.T, kind router.Kind, options map[string]string, first, second Queried) {
	t.Helper()
	const batches, perBatch = 10, 500
	c, e := newEncoder(t, kind, options)
	r := c.Router()
	t.Cleanup(func() { _ = r.Close() })
	base := time.Now().Add(-time.Minute).Truncate(time.Millisecond)
	lineOf := func(i int) string { return fmt.Sprintf("line %06d", i) }
	send := func(from, to int) {
		for n := from; n < to; n++ {
			b := &router.Batch{}
			for i := n * perBatch; i < (n+1)*perBatch; i++ {
				b.Append(e, &router.Record{TimeNano: base.Add(time.Duration(i) * time.Millisecond).UnixNano(), Position: int64(i), Source: []byte("stdout"), Line: []byte(lineOf(i))})
			}
			Await(t, "a batch is delivered", func() bool { return r.Send(t.Context(), b) == nil })
		}
	}
	has := func(q Queried, from, to int) {
		t.Helper()
		records, err := q.Query(t.Context(), `* | sort by (_time)`)
		if err != nil || len(records) != to-from {
			t.Fatalf("%d records, %v; want %d", len(records), err, to-from)
		}
		for i, record := range records {
			if record["_msg"] != lineOf(from+i) {
				t.Fatalf("record %d is %v, want %s", i, record, lineOf(from+i))
			}
		}
	}
	send(0, batches/2)
	has(first, 0, batches/2*perBatch)
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	send(batches/2, batches)
	has(second, batches/2*perBatch, batches*perBatch)
}
