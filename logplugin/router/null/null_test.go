package null

import (
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

// Every record is taken, also an empty line, and costs no memory.
func TestNull(t *testing.T) {
	c, err := Kind().New(router.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := c.Encoder(t.Context(), routertest.Session("n"))
	if err != nil {
		t.Fatal(err)
	}
	var b router.Batch
	for _, line := range []string{"", "a line", "\xff"} {
		b.Append(e, &router.Record{Source: []byte("stdout"), Line: []byte(line)})
	}
	r := c.Router()
	if err := r.Send(t.Context(), &b); err != nil || b.Len() != 3 {
		t.Errorf("%d of 3 records are sent: %v", b.Len(), err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	routertest.EncoderAllocs(t, Kind(), nil, "", "a line")
}
