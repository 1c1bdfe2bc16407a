package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// Trial is what `check` asks the driver to try.
type Trial struct {
	LogOpts    map[string]string `json:"logOpts"`
	Send       bool              `json:"send"`                 // one marked line
	VolumeOpts map[string]string `json:"volumeOpts,omitempty"` // those of a volume; without any, LogOpts are tried
}

// Finding is what the driver has found about one thing.
type Finding struct {
	What  string `json:"what"`
	Error string `json:"error,omitempty"` // "" means that it is well
}

// Failure returns what is wrong; nil means nothing.
func (f Finding) Failure() error {
	if f.Error == "" {
		return nil
	}
	return errors.New(f.Error)
}

// CheckReport is what the driver has found, in its own sandbox, environment and files.
type CheckReport struct {
	Program  string    `json:"program"`
	Findings []Finding `json:"findings"`
}

const (
	checkWait = 75 * time.Second // AWS, the router, and a line
	maxTrial  = 1 << 20          // bytes
)

// checks answers POST /check, one at a time: each may hold connections for a while.
func checks(d Driver) http.Handler {
	turn := make(chan struct{}, 1)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var t Trial
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxTrial)).Decode(&t); err != nil {
			answer(w, http.StatusBadRequest, failure{"the question is not understood; is check of another version than the driver?"})
			return
		}
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
		default:
			answer(w, http.StatusConflict, failure{"the driver is just carrying out another check; try again"})
			return
		}
		c := http.NewResponseController(w)
		_ = c.SetReadDeadline(time.Now().Add(checkWait + time.Second)) // the time-out of others would end the request
		_ = c.SetWriteDeadline(time.Now().Add(checkWait + 5*time.Second))
		ctx, cancel := context.WithTimeout(r.Context(), checkWait)
		defer cancel()
		report, err := d.Check(ctx, t)
		reply(w, report, err)
	})
}

// ErrOldDriver says that the driver is of a version that carries out no checks.
var ErrOldDriver = errors.New("the running log driver is of a version that carries out no checks")

// Check lets the driver try the options of a container or of a volume.
func (c *Client) Check(ctx context.Context, t Trial) (CheckReport, error) {
	body, err := json.Marshal(t)
	if err != nil {
		return CheckReport{}, err
	}
	var r CheckReport
	err = c.ask(ctx, question{method: http.MethodPost, path: "/check", body: bytes.NewReader(body), wait: checkWait + 10*time.Second},
		func(b []byte) error { return json.Unmarshal(b, &r) })
	return r, err
}
