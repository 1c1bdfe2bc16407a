package logplugin

import (
	"encoding/base64"
	"os"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/control"
	"github.com/secretref/secretref/shared/fakeaws"
)

// The commands for volumes, with a driver that has logs and volumes on one socket.
func TestVolumeCommands(t *testing.T) {
	values, err := os.MkdirTemp("/dev/shm", "srvol-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(values) })
	d := startDriver(t, "[secrets]\nallow_references = [\"arn:aws:secretsmanager:*:*:secret:app/*\"]\n")
	for _, args := range [][]string{{"refresh"}, {"forget", "--volume", "app"}, {"check", "--volume-opt", "secrets.db=/x"}} {
		if code, out := d.run(t, args...); code != 1 || !strings.Contains(out, "has no volumes") {
			t.Errorf("%q without volumes: %d, %s", args, code, out)
		}
	}
	d.stop()
	d.more = []string{"--volume-socket", d.socket, "--volume-dir", values}
	ended := d.serve(t)
	await(t, "the driver with volumes", func() bool { code, _ := d.run(t, "status"); return code == 0 })
	db := d.aws.PutSecret(fakeaws.Secret{Name: "app/db", String: `{"password":"` + token + `"}`}) + ":password::"
	if got := d.call(t, "Plugin.Activate", struct{}{}); !strings.Contains(got, `["LogDriver","VolumeDriver","secretprovider"]`) {
		t.Errorf("Plugin.Activate: %s", got)
	}
	for _, call := range []string{"Create", "Mount"} {
		if got := d.call(t, "VolumeDriver."+call, map[string]any{"Name": "app", "ID": "c1", "Opts": map[string]string{"secrets.db": db}}); !strings.Contains(got, `"Err":""`) {
			t.Errorf("%s: %s", call, got)
		}
	}
	if b, err := os.ReadFile(values + "/app/db"); err != nil || string(b) != token {
		t.Errorf("the file has %q, %v", b, err)
	}
	ask := func(name, reference string) string {
		return d.call(t, "SecretProvider.GetSecret", map[string]any{"SecretName": name, "SecretLabels": map[string]string{"valueFrom": reference}})
	}
	if got := ask("dbpw", db); !strings.Contains(got, base64.StdEncoding.EncodeToString([]byte(token))) {
		t.Errorf("a secret of a swarm: %s", got)
	}
	for _, c := range []struct {
		args string
		code int
		want []string
	}{
		{"check --volume-opt secrets.db=" + db + " --volume-opt mode=0400", 0, []string{"ok     tmpfs of volumes: " + values, "ok     volume options", "ok     volume option secrets.db: " + db + ", version "}},
		{"check --volume-opt secrets.db=/other", 1, []string{"failed volume option secrets.db: /other: ", "under [secrets]", "check: failed: 1"}},
		{"check --volume-opt secrets.db=" + db + " --volume-opt secrets.db=x", 2, []string{"given twice"}},
		{"status", 0, []string{"VOLUME  MOUNTED", "app     true     1      0 ", "A volume keeps the options", "SWARM SECRET", "dbpw          " + db}},
		{"refresh app", 0, []string{"values: 1"}},
		{"forget --volume", 2, []string{"which volume"}},
		{"forget --volume --ended app", 2, []string{"exclude each other"}},
		{"forget --volume none", 1, []string{"no such volume"}},
		{"forget --volume app", 1, []string{"docker volume rm"}},
		{"forget --volume app --force", 0, []string{"volume app is removed"}},
	} {
		code, out := d.run(t, strings.Fields(c.args)...)
		for _, want := range c.want {
			if code != c.code || !strings.Contains(out, want) {
				t.Errorf("%s: %d, want %d and %q in\n%s", c.args, code, c.code, want, out)
			}
		}
		if strings.Contains(out, token) {
			t.Errorf("%s shows the value:\n%s", c.args, out)
		}
	}
	if got := ask("other", "/other"); !strings.Contains(got, "under [secrets]") {
		t.Errorf("a secret that is not allowed: %s", got)
	}
	if code, out := d.run(t, "status"); code != 3 || !strings.Contains(out, "secret other of the swarm: ") {
		t.Errorf("status after a refusal: %d, %s", code, out)
	}
	text, err := control.NewClient(d.state()).Metrics(t.Context())
	for _, want := range []string{`secretref_volumes{failing="false",mounted="true"} 0`, `secretref_swarm_secret_requests_total{result="ok"} 1`, `secretref_swarm_secret_requests_total{result="refused"} 1`} {
		if err != nil || !strings.Contains(text, want) {
			t.Errorf("metrics: %v, no %s in\n%s", err, want, text)
		}
	}
	d.cancel()
	ended()
	if code, out := d.run(t, "check", "--volume-opt", "secrets.db="+db); code != 1 || !strings.Contains(out, "the options are tried by this process") {
		t.Errorf("check without a driver: %d\n%s", code, out)
	}
}
