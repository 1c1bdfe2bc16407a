//go:build integration

package http

import (
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/rig"
)

func TestVictoriaLogs(t *testing.T) {
	for _, encoding := range []string{router.Gzip, router.Zstd, noneEncoding} {
		t.Run(encoding, func(t *testing.T) {
			v := rig.Use(t, rig.StartVictoriaLogs, rig.VictoriaLogsOptions{})
			routertest.Arrives(t, Kind(nil), map[string]string{
				address: v.URL() + "/insert/jsonline?_time_field=date&_msg_field=message", compress: encoding, fields: "env=test",
			}, v.Query, func(name string) map[string]string {
				return map[string]string{"host": "h", "container_name": name, "env": "test"}
			})
		})
	}
}

func TestKilledReceiver(t *testing.T) {
	const path = "/insert/jsonline?_time_field=date&_msg_field=message"
	first, second := rig.Use(t, rig.StartVictoriaLogs, rig.VictoriaLogsOptions{}), rig.Use(t, rig.StartVictoriaLogs, rig.VictoriaLogsOptions{})
	routertest.KilledReceiver(t, Kind(nil), map[string]string{address: first.URL() + path + "," + second.URL() + path}, first, second)
}
