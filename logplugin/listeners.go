package logplugin

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/secretref/secretref/logplugin/control"
	"github.com/secretref/secretref/logplugin/filebudget"
)

// listeners answer people and their programs. What they hold of the process's files is bounded: whoever asks must not be
// able to keep a container's log from being read.
type listeners struct {
	files filebudget.Budget
	log   *slog.Logger
}

// answer begins to answer on the socket in the state directory, and to strangers on address, unless it is empty.
func (l listeners) answer(address, stateDir string, d control.Driver, numbers http.Handler) (stop func() error) {
	// check may ask AWS and a router before it answers.
	status := control.Limits{Connections: l.files.Status, Answer: 30 * time.Second, Spares: 1}
	stopStatus := l.keepAnswering("status", status, control.Handler(d, numbers), func() (net.Listener, error) { return control.Listen(stateDir) })
	if address == "" {
		return stopStatus
	}
	public := control.Limits{Connections: l.files.Metrics}
	stopMetrics := l.keepAnswering("metrics_address", public, control.PublicHandler(d, numbers), func() (net.Listener, error) { return net.Listen("tcp", address) })
	return func() error { return errors.Join(stopStatus(), stopMetrics()) }
}

// listenPause is the time between two tries to listen.
const listenPause = 5 * time.Second

// keepAnswering answers on what listen opens until stop is called. If that fails, because the file system is read-only
// or the port is taken, it is tried again, and not waited for: a driver that ends leaves all containers without a reader.
func (l listeners) keepAnswering(name string, limits control.Limits, h http.Handler, listen func() (net.Listener, error)) (stop func() error) {
	opened, err := listen()
	if err == nil {
		return control.Serve(opened, name, h, limits, l.log)
	}
	l.log.Error("cannot listen, will retry", "listener", name, "error", err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { // ends with stop
		again := time.NewTicker(listenPause)
		defer again.Stop()
		for {
			select {
			case <-ctx.Done():
				ended <- nil
				return
			case <-again.C:
			}
			if opened, err := listen(); err == nil {
				l.log.Info("listens now", "listener", name)
				stop := control.Serve(opened, name, h, limits, l.log)
				<-ctx.Done()
				ended <- stop()
				return
			}
		}
	}()
	return func() error { cancel(); return <-ended }
}
