//go:build integration

package awslogs

import (
	"encoding/json"
	"testing"

	"github.com/secretref/secretref/logplugin/awsrouter"
	"github.com/secretref/secretref/logplugin/awsrouter/awstest"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/rig"
)

// TestMoto sends lines to an implementation that we did not write, which creates the group and the stream, and reads them back.
func TestMoto(t *testing.T) {
	m := rig.Use(t, rig.StartMoto, rig.MotoOptions{})
	kind := Kind(awsrouter.NewHost(awstest.NewHome(t).Session(m.URL())))
	c, err := kind.New(router.Options{Plain: map[string]string{group: "app", stream: "s", createGroup: "true"}})
	if err != nil {
		t.Fatal(err)
	}
	e, err := c.Encoder(t.Context(), routertest.Session("web"))
	if err != nil {
		t.Fatal(err)
	}
	r := c.Router()
	t.Cleanup(func() { _ = r.Close() })
	b, lines := routertest.Batch([]router.Encoder{e}, 100)
	if err := r.Send(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	u, failed := r.(*Router).client.Begin(t.Context())
	if failed != nil {
		t.Fatal(failed)
	}
	a, no := u.Call(t.Context(), "read", "GetLogEvents", []byte(`{"logGroupName":"app","logStreamName":"s","startFromHead":true}`), nil)
	if no != nil {
		t.Fatal(no.Error)
	}
	var got struct{ Events []struct{ Message string } }
	if err := json.Unmarshal(a.Body, &got); err != nil || len(got.Events) != len(lines) {
		t.Fatalf("%d events, %v, want %d", len(got.Events), err, len(lines))
	}
	for i, e := range got.Events {
		if e.Message != lines[i] {
			t.Fatalf("event %d is %q, want %q", i, e.Message, lines[i])
		}
	}
}
