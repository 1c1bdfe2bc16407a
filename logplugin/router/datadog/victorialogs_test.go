//go:build integration

package datadog

import (
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/rig"
)

func TestVictoriaLogs(t *testing.T) {
	for _, encoding := range []string{router.Gzip, noneEncoding} {
		t.Run(encoding, func(t *testing.T) {
			v := rig.Use(t, rig.StartVictoriaLogs, rig.VictoriaLogsOptions{})
			routertest.Arrives(t, Kind(), map[string]string{apiKey: "any", intake: v.URL() + "/insert/datadog", compress: encoding, tags: "env:test"}, v.Query, func(name string) map[string]string {
				return map[string]string{"service": name, "hostname": "h", "container_name": name, "env": "test"}
			})
		})
	}
}
