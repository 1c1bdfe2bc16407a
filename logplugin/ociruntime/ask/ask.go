// Package ask is how secretref-runtime asks secretref-logdriver for the variables of a container: one question and one answer
// in JSON on a unix socket, which only root can connect to.
//
// It links no HTTP: secretref-runtime starts for every call of the container runtime, and is small.
package ask

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"time"
)

// Socket is where the service answers.
const Socket = "/run/secretref/resolve.sock"

// Bounds of a question and of an answer, in bytes of JSON.
const (
	MaxQuestion = 1 << 20
	MaxAnswer   = 16 << 20
)

// Timeout is that of a question with its answer. The caller of the container runtime waits longer.
const Timeout = 25 * time.Second

// Secret is one variable by reference.
type Secret struct {
	Name      string `json:"name"`
	ValueFrom string `json:"valueFrom"`
}

// Question is what a container needs.
type Question struct {
	Container        string   `json:"container"` // its id
	Secrets          []Secret `json:"secrets,omitempty"`
	EnvironmentFiles []string `json:"environmentFiles,omitempty"` // what the variable of that name says, one element each
	Volumes          []string `json:"volumes,omitempty"`          // names of secretref-files volumes that must be complete
	Exec             bool     `json:"exec,omitempty"`             // for another process of a container that runs
}

// Variable is a variable with its value.
type Variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	File  bool   `json:"file,omitempty"` // from an environment file: one of the container's own wins
}

// Answer has the variables, or an error.
type Answer struct {
	Variables []Variable `json:"variables,omitempty"`
	Error     string     `json:"error,omitempty"`   // for a person, in one line; "" = none
	Passing   bool       `json:"passing,omitempty"` // the error may pass without a change
	Before    bool       `json:"before,omitempty"`  // the container has had an answer without an error before
}

// Ask asks the service on socket. An error says that there is no answer.
func Ask(ctx context.Context, socket string, q Question) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	b, err := json.Marshal(q)
	if err != nil {
		return Answer{}, err
	}
	if len(b) > MaxQuestion {
		return Answer{}, fmt.Errorf("the container's references have %d bytes, and at most %d are taken", len(b), MaxQuestion)
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if errors.Is(err, fs.ErrNotExist) {
		return Answer{}, fmt.Errorf("there is no socket %s; enable secretref-runtime.socket of the package secretref", socket)
	}
	if err != nil {
		return Answer{}, fmt.Errorf("secretref-logdriver cannot be asked, see systemctl status secretref-runtime.socket secretref-logdriver: %w", err)
	}
	defer c.Close()
	end, _ := ctx.Deadline()
	if err := c.SetDeadline(end); err != nil {
		return Answer{}, err
	}
	var a Answer
	if err := exchange(c, b, &a); err != nil {
		return Answer{}, fmt.Errorf("secretref-logdriver does not answer, see systemctl status secretref-logdriver: %w", err)
	}
	return a, nil
}

func exchange(c net.Conn, question []byte, a *Answer) error {
	if _, err := c.Write(question); err != nil {
		return err
	}
	if err := c.(*net.UnixConn).CloseWrite(); err != nil {
		return err
	}
	b, err := io.ReadAll(io.LimitReader(c, MaxAnswer+1))
	if err != nil {
		return err
	}
	if len(b) > MaxAnswer {
		return fmt.Errorf("its answer is longer than %d bytes", MaxAnswer)
	}
	if len(b) == 0 {
		return errors.New("it hung up")
	}
	if json.Unmarshal(b, a) != nil { // whose error would quote a value
		return errors.New("its answer is not of the form that this version knows; the program and the service are of different versions")
	}
	return nil
}
