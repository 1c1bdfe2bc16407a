//go:build integration

package rig

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// post sends text and returns the status of the answer.
func post(t *testing.T, url, contentType, text string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode
}

func TestVictoriaLogs(t *testing.T) {
	v := Use(t, StartVictoriaLogs, VictoriaLogsOptions{})
	if n, err := v.Count(t.Context(), "*"); err != nil || n != 0 {
		t.Errorf("%d records, %v; want none", n, err)
	}
	now := time.Now().UTC().Format(time.RFC3339Nano)
	lines := fmt.Sprintf(`{"_time":%q,"_msg":"first \"line\"","app":"a"}`+"\n"+`{"_time":%q,"_msg":"second","app":"b"}`+"\n", now, now)
	if code := post(t, v.URL()+"/insert/jsonline?_stream_fields=app", "application/stream+json", lines); code != http.StatusOK {
		t.Fatalf("answer %d", code)
	}
	records, err := v.Query(t.Context(), "app:=a")
	if err != nil || len(records) != 1 || records[0]["_msg"] != `first "line"` || records[0]["_stream"] != `{app="a"}` {
		t.Errorf("%v, %v; want the first line", records, err)
	}
	if n, err := v.Count(t.Context(), "*"); err != nil || n != 2 {
		t.Errorf("%d records, %v; want 2", n, err)
	}
	if _, err := v.Query(t.Context(), "("); err == nil || !strings.Contains(err.Error(), "400") {
		t.Errorf("a wrong query: %v, want the server's words", err)
	}
	checkGone(t, v, v.dir)
}

func TestCollector(t *testing.T) {
	c := Use(t, StartCollector, CollectorOptions{Refusals: 1})
	const text = `{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"s"}}]},"scopeLogs":[{"scope":{"name":"n"},` +
		`"logRecords":[{"timeUnixNano":"1795463301000000256","observedTimeUnixNano":"1795463302000000000","severityNumber":9,"severityText":"INFO",` +
		`"body":{"stringValue":"hello"},"attributes":[{"key":"k","value":{"intValue":"1"}}]}]}]}]}`
	for _, want := range []int{http.StatusServiceUnavailable, http.StatusOK} {
		if code := post(t, c.URL()+"/v1/logs", "application/json", text); code != want {
			t.Errorf("answer %d, want %d", code, want)
		}
	}
	if code := post(t, c.URL()+"/v1/logs", "application/x-protobuf", "no protobuf"); code != http.StatusBadRequest {
		t.Errorf("answer %d to a body that is not a message, want 400", code)
	}
	records, err := c.Records()
	if err != nil || len(records) != 1 {
		t.Fatalf("%v, %v; want one record", records, err)
	}
	r := records[0]
	if r.Nano != 1795463301000000256 || r.Observed != 1795463302000000000 || r.Severity != "9 INFO" || string(r.Body) != "hello" || r.Scope != "n" ||
		string(r.Values["k"]) != "1" || string(r.Resource["service.name"]) != "s" {
		t.Errorf("%+v", r)
	}
	checkGone(t, c, c.dir)
}
