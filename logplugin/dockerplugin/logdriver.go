package dockerplugin

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/secretref/secretref/logplugin/options"
)

// Info is what the daemon tells about a container. It is safe to print and to log.
type Info = options.Info

// Sessions is what the calls lead to. The methods may be called for several files at once, and again for one.
type Sessions interface {
	// Start begins to log what comes out of the FIFO file. It should return soon after ctx ends. An error keeps the
	// container from starting: its text is for people, in one line, and must not show a secret. When the daemon has had
	// an error for another reason (Start took too long or panicked), Withdraw follows as soon as Start has returned.
	Start(ctx context.Context, file string, info Info) error
	// Withdraw says that the daemon was told that Start failed, though it did not, or not with these words: the daemon
	// will not write to file, nor call Stop for it, and the container was not accepted.
	Withdraw(file string)
	// Stop says that the daemon is about to close file. It must return at once: the end of the FIFO comes only after
	// the daemon has the answer. A file that nobody knows is fine: the daemon may have known it longer than we do.
	Stop(file string)
}

// logDriver is the interface LogDriver of the protocol.
type logDriver struct {
	server   *Server
	sessions Sessions
}

const (
	startLogging = "/LogDriver.StartLogging"
	stopLogging  = "/LogDriver.StopLogging"
)

func (d logDriver) methods() map[string]method {
	return map[string]method{"/LogDriver.Capabilities": d.capabilities, startLogging: d.start, stopLogging: d.stop}
}

// logCall is the body of StartLogging and StopLogging.
type logCall struct {
	File string
	Info Info
}

// capabilities says whether `docker logs` asks ReadLogs. If not, the daemon keeps a copy of each line for it.
func (d logDriver) capabilities(http.ResponseWriter, *http.Request) (any, error) {
	type capabilities struct{ ReadLogs bool }
	return struct {
		Cap capabilities
		Err string
	}{Cap: capabilities{d.server.options.ReadLogs}}, nil
}

func (d logDriver) start(_ http.ResponseWriter, r *http.Request) (any, error) {
	q, err := decode[logCall](r)
	if err == nil && (!strings.HasPrefix(q.File, "/") || q.Info.ContainerID == "") {
		err = errors.New("StartLogging names no file or no container")
	}
	if err == nil {
		err = d.server.within(r, d.server.options.StartTimeout,
			func(ctx context.Context) error { return d.sessions.Start(ctx, q.File, q.Info) },
			func() { d.sessions.Withdraw(q.File) })
	}
	if err != nil {
		d.server.options.Logger.Error("container refused", "container", q.Info.ContainerID[:min(len(q.Info.ContainerID), 12)],
			"name", strings.TrimPrefix(q.Info.ContainerName, "/"), "error", errText(err))
	}
	return failure{}, err
}

// stop never returns an error: the daemon would leak the container's FIFO.
func (d logDriver) stop(_ http.ResponseWriter, r *http.Request) (any, error) {
	var q logCall
	err := d.server.recovered(stopLogging, func() (err error) {
		if q, err = decode[logCall](r); err != nil {
			return err
		}
		return d.server.within(r, d.server.options.StopTimeout, func(context.Context) error {
			d.sessions.Stop(q.File)
			return nil
		}, func() {})
	})
	if err != nil {
		d.server.options.Logger.Warn("StopLogging failed, and was answered without an error", "file", q.File, "error", errText(err))
	}
	return failure{}, nil
}
