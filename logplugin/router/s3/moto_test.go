//go:build integration

package s3

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/awsrouter"
	"github.com/secretref/secretref/logplugin/awsrouter/awstest"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/rig"
)

// TestMoto stores objects in moto's S3, which we did not write, and reads them back as it lists them.
func TestMoto(t *testing.T) {
	server := rig.Use(t, rig.StartMoto, rig.MotoOptions{})
	request := func(method, path string) []byte { return awstest.CallS3(t, server.URL(), method, path) }
	request(http.MethodPut, "/logs")
	c, err := Kind(awsrouter.NewHost(awstest.NewHome(t).Session(server.URL()))).New(router.Options{Plain: map[string]string{
		bucket: "logs", keyFormat: "/a b/$TAG/%Y+%m/é-$UUID", contentMD5: "true", storageClass: "STANDARD_IA", contentType: "application/x-ndjson",
	}})
	if err != nil {
		t.Fatal(err)
	}
	r := c.Router()
	t.Cleanup(func() { _ = r.Close() })
	session := routertest.Session("web")
	session.ID, session.Tag = "s", "web/1"
	e, err := c.Encoder(t.Context(), session)
	if err != nil {
		t.Fatal(err)
	}
	b, want := routertest.Batch([]router.Encoder{e}, 1000)
	for _, part := range []*router.Batch{b.Slice(0, 500), b.Slice(0, 500), b.Slice(500, 1000)} { // the first is sent again
		if err := r.Send(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
	var list struct {
		Contents []struct{ Key, StorageClass string }
	}
	if err := xml.Unmarshal(request(http.MethodGet, "/logs"), &list); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range list.Contents {
		if !strings.HasPrefix(o.Key, "a b/web/1/2026+11/é-") || o.StorageClass != "STANDARD_IA" {
			t.Errorf("object %+v", o)
		}
		for line := range strings.Lines(string(request(http.MethodGet, "/logs/"+strings.NewReplacer(" ", "%20", "+", "%2B", "é", "%C3%A9").Replace(o.Key)))) {
			var record struct{ Log string }
			if err := json.Unmarshal([]byte(line), &record); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			got = append(got, record.Log)
		}
	}
	slices.Sort(got) // objects are listed by their keys
	slices.Sort(want)
	if len(list.Contents) != 2 || !slices.Equal(got, want) {
		t.Errorf("%d lines in %d objects, want %d in 2", len(got), len(list.Contents), len(want))
	}
}
