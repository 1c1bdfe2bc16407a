package syslog

import (
	"testing"

	"github.com/secretref/secretref/logplugin/router/routertest"
)

func BenchmarkSend(b *testing.B) {
	routertest.BenchSocket(b, Kind(), 5000, []string{"lf", "octet-counting"}, func(to, way string) map[string]string {
		return map[string]string{address: "tcp://" + to, format: "rfc5424micro", framing: way}
	})
}
