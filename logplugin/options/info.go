package options

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
)

// Info is what the daemon tells about a container, with the names of its JSON. Only ContainerID is sure to be there.
//
// It holds the container's whole environment, with the secrets of the application in it, and perhaps a secret that
// somebody wrote into an option: whatever prints, logs or encodes an Info gets the container's id and name alone.
type Info struct {
	Config              map[string]string // all log options
	ContainerID         string
	ContainerName       string // with the slash at its beginning
	ContainerEntrypoint string
	ContainerArgs       []string
	ContainerImageID    string // "sha256:…"
	ContainerImageName  string
	ContainerCreated    time.Time
	ContainerEnv        Env
	ContainerLabels     map[string]string
	LogPath             string
	DaemonName          string
}

// String returns the container's short id and name.
func (i Info) String() string {
	if name := strings.TrimPrefix(i.ContainerName, "/"); name != "" {
		return short(i.ContainerID) + " (" + name + ")"
	}
	return short(i.ContainerID)
}

// Format writes String for every verb.
func (i Info) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, i.String()) }

// LogValue keeps everything but String out of log/slog.
func (i Info) LogValue() slog.Value { return slog.StringValue(i.String()) }

// MarshalJSON writes the container's id and name alone.
func (i Info) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct{ ContainerID, ContainerName string }{i.ContainerID, i.ContainerName})
}

// Env is a container's environment. It can be read from JSON and picked from, and never be written.
//
// It sits behind a function: fmt prints an unexported field of a foreign struct without calling its methods, and with
// %s even looks behind a pointer to a slice.
type Env struct{ list func() []string }

// NewEnv returns an Env of NAME=value texts.
func NewEnv(list ...string) Env { return Env{func() []string { return list }} }

// UnmarshalJSON reads the daemon's array.
func (e *Env) UnmarshalJSON(b []byte) error {
	var list []string
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	*e = NewEnv(list...)
	return nil
}

// MarshalJSON writes null.
func (Env) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

// Format writes "[environment]" for every verb.
func (Env) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[environment]") }

// LogValue keeps the environment out of log/slog.
func (Env) LogValue() slog.Value { return slog.StringValue("[environment]") }

// values returns the environment by name; of two with one name the later one counts, as for Docker.
func (e Env) values() map[string]string {
	m := map[string]string{}
	if e.list == nil {
		return m
	}
	for _, entry := range e.list() {
		if name, value, ok := strings.Cut(entry, "="); ok {
			m[name] = value
		}
	}
	return m
}

// short cuts an id as Docker does.
func short(id string) string { return id[:min(len(id), 12)] }
