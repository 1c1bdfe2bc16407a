package rig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/secretref/secretref/shared/porttest"
)

// MotoOptions has nothing to choose.
type MotoOptions struct{}

// Moto is moto's server: AWS services that we did not write. It accepts every credential and forgets everything at its
// end; it knows no AccessDenied, no throttling and no latency.
type Moto struct {
	addr string
	port *porttest.Reservation
	dir  string
	proc *process
}

// StartMoto starts the server and returns once it answers; that takes three seconds and more.
func StartMoto(ctx context.Context, _ MotoOptions) (*Moto, error) {
	dir, err := tempDir("moto")
	if err != nil {
		return nil, err
	}
	m := &Moto{dir: dir}
	if err := m.start(ctx); err != nil {
		return nil, errors.Join(err, m.Stop())
	}
	return m, nil
}

func (m *Moto) start(ctx context.Context) (err error) {
	if m.port, err = porttest.Reserve("tcp", loopback); err != nil {
		return err
	}
	m.addr = m.port.Address()
	host, port, err := net.SplitHostPort(m.addr)
	if err != nil {
		return err
	}
	// The caller's environment, because a Python program may be there through a shim that needs it.
	m.proc, err = startProcess("moto_server", m.dir, os.Environ(), "moto_server", "-H", host, "-p", port)
	if err != nil {
		return err
	}
	return m.proc.ready(ctx, func(ctx context.Context) error {
		code, err := status(ctx, http.DefaultClient, m.URL()+"/moto-api/data.json", "", "")
		if err == nil && code != http.StatusOK {
			err = fmt.Errorf("status %d", code)
		}
		return err
	})
}

// URL is the endpoint of all services, for AWS_ENDPOINT_URL.
func (m *Moto) URL() string { return "http://" + m.addr }

// Log returns the server's output.
func (m *Moto) Log() string { return m.proc.log() }

// Stop ends the server.
func (m *Moto) Stop() error {
	var err error
	if m.proc != nil {
		err = m.proc.stop(5 * time.Second)
	}
	return errors.Join(err, m.port.Close(), os.RemoveAll(m.dir))
}
