//go:build integration

package main

import (
	"strings"
	"testing"
)

// All that the bench does but vlagent, with little of it: every line must arrive, or it fails.
func TestBench(t *testing.T) {
	var out, errOut strings.Builder
	code := run(t.Context(), []string{"-lines", "2000", "-rounds", "1", "-fed", "2000", "-feedings", "1", "-sessions", "20", "-seconds", "1", "-settle", "100ms",
		"-parts", "sessions|hanging|alone|containers|reading", "-routers", "^(splunk|fluentd|awslogs|firehose|syslog.*|gelf.*|elasticsearch|fluentd, TLS|loki|logdna|s3|tcp)$",
		"-only", `^(none|json-file|a plugin that discards|.*splunk|.*splunk, TLS|secretref, fluentd|.*awslogs|secretref, (syslog|gelf).*)$`}, &out, &errOut)
	if code != 0 {
		t.Fatalf("status %d: %s\n%s", code, errOut.String(), out.String())
	}
	for _, want := range []string{
		"secretref, splunk ", "Docker's awslogs ", "splunk / json-file", "fluentd, TLS", "elasticsearch ", "docker logs / json-file", "the tenth takes connections",
		"20 sessions", "requests a second",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report has no %q:\n%s", want, out.String())
		}
	}
}
