package dockerplugin

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/secretref/secretref/logplugin/readlogs"
)

const readLogsPath = "/LogDriver.ReadLogs"

// Logs answers `docker logs`.
type Logs interface {
	// ReadLogs finds out what there is of the log of a container. Its error is for people, in one line.
	ReadLogs(ctx context.Context, info Info, q readlogs.Query) (Answer, error)
}

// Answer is the log of a container, as it is written to the daemon. *readlogs.Stream is one.
type Answer interface {
	// WriteTo returns when the answer is complete, or with an error when it is not.
	WriteTo(ctx context.Context, w readlogs.Writer) error
	Close()
}

// errCut says that an answer has begun and does not come to its end. The daemon must see that: the connection is cut.
var errCut = errors.New("the answer was cut")

// reader is the call ReadLogs. Unlike the others it has no time limit, and an error is answered with a status other than 200: the
// daemon would take the text for the length of a frame, and allocate as much.
type reader struct {
	server *Server
	logs   Logs
	places chan struct{} // an element for each answer that is being written
}

// readCall is the body of ReadLogs.
type readCall struct {
	Info   Info
	Config struct {
		Since, Until time.Time
		Tail         int
		Follow       bool
	}
}

func (d reader) read(w http.ResponseWriter, r *http.Request) (any, error) {
	q, err := decode[readCall](r)
	switch {
	case err != nil:
		return nil, err
	case q.Info.ContainerID == "":
		return nil, errors.New("ReadLogs names no container")
	}
	select {
	case d.places <- struct{}{}:
		defer func() { <-d.places }()
	default:
		return nil, errors.New("too many docker logs commands read at the same time; end one of them (docker logs -f in scripts, for instance), or raise LimitNOFILE of the log driver")
	}
	control := http.NewResponseController(w)
	if err := errors.Join(control.SetReadDeadline(time.Time{}), control.SetWriteDeadline(time.Time{})); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	defer context.AfterFunc(d.server.ending, func() {
		cancel(errors.New("the log driver is ending"))
		_ = control.SetWriteDeadline(time.Now()) // a client that reads nothing holds nobody up
	})()
	answer, err := d.logs.ReadLogs(ctx, q.Info, readlogs.Query{
		Since: q.Config.Since, Until: q.Config.Until, Tail: q.Config.Tail, Follow: q.Config.Follow,
	})
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	err = d.server.recovered(readLogsPath, func() error {
		w.WriteHeader(http.StatusOK)
		if err := control.Flush(); err != nil {
			return err
		}
		return answer.WriteTo(ctx, response{w, control})
	})
	if err == nil {
		return nil, nil //nolint:nilnil // the answer is written
	}
	if r.Context().Err() == nil && d.server.ending.Err() == nil {
		d.server.options.Logger.Warn("docker logs was cut", "container", q.Info.ContainerID[:min(len(q.Info.ContainerID), 12)],
			"name", strings.TrimPrefix(q.Info.ContainerName, "/"), "error", errText(err))
	}
	return nil, errCut
}

// response is a readlogs.Writer.
type response struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (r response) Flush() error { return r.control.Flush() }
