package dockerplugin

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/secretref/secretref/shared/secret"
)

// fakeSecrets knows the secrets app and large.
type fakeSecrets struct{}

func (fakeSecrets) Secret(_ context.Context, name string, labels map[string]string) (secret.Value, error) {
	switch {
	case name == "app":
		return secret.New(labels["valueFrom"] + "\x00\xff"), nil
	case name == "large":
		return secret.New(strings.Repeat("x", 500<<10+1)), nil
	}
	return secret.Value{}, errors.New("the secret has no label valueFrom")
}

// A manager of a swarm has the value, which the daemon does not keep for another task, or one line of what is wrong.
func TestSecretAnswers(t *testing.T) {
	own := serveVolumes(t, fakeVolumes{}, Options{Secrets: fakeSecrets{}})
	shared := serve(t, &fake{}, Options{Volumes: fakeVolumes{}, Secrets: fakeSecrets{}})
	for where, d := range map[string]*daemon{"own socket": own, "socket of logs": shared} {
		for _, c := range []struct{ body, want string }{
			{`{"SecretName":"app","SecretLabels":{"valueFrom":"/x"},"ServiceName":"web","TaskID":"t1"}`,
				`{"Value":"` + base64.StdEncoding.EncodeToString([]byte("/x\x00\xff")) + `","Err":"","DoNotReuse":true}`},
			{`{"SecretName":"other"}`, `{"Err":"secretref: the secret has no label valueFrom"}`},
			{`{"SecretName":"large"}`, `{"Err":"secretref: the value of secret \"large\" has 512001 bytes, and a secret of a swarm at most 512000"}`},
			{`{"SecretLabels":["` + canary + `"]}`, `{"Err":"secretref: the daemon's call is not the JSON that Docker documents for plugins"}`},
		} {
			if got := d.call(t, "SecretProvider.GetSecret", c.body); got != c.want {
				t.Errorf("%s: %s: %s, want %s", where, c.body, got, c.want)
			}
		}
	}
	for want, d := range map[string]*daemon{
		`{"Implements":["VolumeDriver","secretprovider"],"Err":""}`:             own,
		`{"Implements":["LogDriver","VolumeDriver","secretprovider"],"Err":""}`: shared,
	} {
		if got := d.call(t, "Plugin.Activate", "{}"); got != want {
			t.Errorf("Plugin.Activate: %s, want %s", got, want)
		}
	}
}
