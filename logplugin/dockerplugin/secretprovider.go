package dockerplugin

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/secretref/secretref/shared/secret"
)

// Secrets is what the calls for secrets of a swarm lead to.
type Secrets interface {
	// Secret returns the value of a secret, which is named by its labels. It should return soon after ctx ends. The text of an
	// error is for people, in one line, and must not show a secret.
	Secret(ctx context.Context, name string, labels map[string]string) (secret.Value, error)
}

// secretTimeout is the limit of a call for a secret. The daemon waits for 30 seconds.
const secretTimeout = 28 * time.Second

// maxSecret is the largest secret that a swarm takes, in bytes.
const maxSecret = 500 << 10

// secretProvider is the interface of the protocol that swarm managers call, once for each task.
type secretProvider struct {
	server  *Server
	secrets Secrets
}

func (p secretProvider) methods() map[string]method {
	return map[string]method{"/SecretProvider.GetSecret": p.get}
}

// get does not let the daemon keep the value for another task: that one has the value of its own time.
func (p secretProvider) get(_ http.ResponseWriter, r *http.Request) (any, error) {
	type request struct {
		SecretName   string
		SecretLabels map[string]string
	}
	q, err := decode[request](r)
	if err != nil {
		return nil, err
	}
	found := make(chan secret.Value, 1)
	err = p.server.within(r, secretTimeout, func(ctx context.Context) error {
		v, err := p.secrets.Secret(ctx, q.SecretName, q.SecretLabels)
		found <- v
		return err
	}, func() {})
	if err != nil {
		return nil, err
	}
	value := []byte((<-found).Reveal())
	if len(value) > maxSecret {
		return nil, fmt.Errorf("the value of secret %q has %d bytes, and a secret of a swarm at most %d", q.SecretName, len(value), maxSecret)
	}
	return struct {
		Value      []byte
		Err        string
		DoNotReuse bool
	}{Value: value, DoNotReuse: true}, nil
}
