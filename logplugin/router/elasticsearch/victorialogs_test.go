//go:build integration

package elasticsearch

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
			routertest.Arrives(t, Kind(nil), map[string]string{
				address: v.URL() + "/insert/elasticsearch?_time_field=@timestamp&_msg_field=message", compress: encoding, fields: "env=test",
			}, v.Query, func(name string) map[string]string {
				return map[string]string{"host.name": "h", "container.name": name, "service.name": name, "env": "test"}
			})
		})
	}
}

// A request without actions is what the receiver answers, too.
func TestVictoriaLogsAnswersVerify(t *testing.T) {
	v := rig.Use(t, rig.StartVictoriaLogs, rig.VictoriaLogsOptions{})
	for address, good := range map[string]bool{v.URL() + "/insert/elasticsearch": true, v.URL() + "/nowhere": false} {
		c, err := Kind(nil).New(router.Options{Plain: map[string]string{"elasticsearch-url": address}})
		if err != nil {
			t.Fatal(err)
		}
		r, _ := c.Router().(*Router)
		if err := r.Verify(t.Context()); (err == nil) != good {
			t.Errorf("%s: %v", address, err)
		}
		_ = r.Close()
	}
}

func TestKilledReceiver(t *testing.T) {
	const path = "/insert/elasticsearch?_time_field=@timestamp&_msg_field=message"
	first, second := rig.Use(t, rig.StartVictoriaLogs, rig.VictoriaLogsOptions{}), rig.Use(t, rig.StartVictoriaLogs, rig.VictoriaLogsOptions{})
	routertest.KilledReceiver(t, Kind(nil), map[string]string{address: first.URL() + path + "," + second.URL() + path}, first, second)
}
