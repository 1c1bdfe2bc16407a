package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/secretref/secretref/logplugin/lines"
	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/shared/secretref"
)

// version is that of the format. A change that older versions would misread raises it; a key that they may overlook
// does not.
const version = 1

var errNewer = errors.New("it was written by a newer version; until that one is back its log is kept and not sent")

// file is the format. Each field is written out here and not taken over from another type, so that what goes to the
// disk is decided in this place alone (reason: a key of it is a field here).
type file struct {
	Version       int               `json:"version"`
	File          string            `json:"file"`
	ContainerID   string            `json:"containerId"`
	ContainerName string            `json:"containerName,omitempty"`
	Started       time.Time         `json:"started"`
	Number        uint64            `json:"number,omitempty"`
	Router        string            `json:"logDriver"`
	Address       string            `json:"address,omitempty"`
	Plain         map[string]string `json:"options,omitempty"`
	References    map[string]string `json:"secretOptions,omitempty"` // name to valueFrom
	Tag           string            `json:"tag,omitempty"`
	Attributes    map[string]string `json:"attributes,omitempty"`
	About         about             `json:"about,omitzero"`
	Lines         lines.Options     `json:"lines,omitzero"`
	SpoolMaxBytes int64             `json:"spoolMaxBytes"`
	SecretFailure string            `json:"secretFailure,omitempty"`
	Destination   string            `json:"destination,omitempty"` // then options are the container's own
	Unnamed       bool              `json:"unnamed,omitempty"`     // so they are too
	History       int64             `json:"historyMaxBytes,omitempty"`
	ReadLogs      bool              `json:"readLogs,omitempty"`
}

// about is what else is known of the container.
type about struct {
	Image   string `json:"image,omitempty"`
	Project string `json:"project,omitempty"`
	Service string `json:"service,omitempty"`
	Swarm   bool   `json:"swarm,omitempty"`

	ImageID string    `json:"imageId,omitempty"`
	Command string    `json:"command,omitempty"`
	Created time.Time `json:"created,omitzero"`
}

func encode(s Session) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	o := s.Options
	f := file{
		Version: version, File: s.File, ContainerID: s.ContainerID, ContainerName: s.ContainerName, Started: s.Started, Number: s.Number, History: s.History, ReadLogs: s.ReadLogs,
		Router: o.Router, Address: o.Address, Plain: o.Plain, References: map[string]string{}, Tag: o.Tag,
		Attributes: o.Attributes, About: about(o.About), Lines: o.Lines, SpoolMaxBytes: o.SpoolMaxBytes, SecretFailure: string(o.SecretFailure),
	}
	if o.Unnamed {
		f.Unnamed, f.Plain, f.Lines = true, o.Own, lines.Options{}
	}
	if o.Destination != "" { // what that means is for the configuration to say
		f.Destination, f.Router, f.Address, f.Plain, f.Lines, o.References = o.Destination, "", "", o.Own, lines.Options{}, nil
	}
	for name, ref := range o.References {
		f.References[name] = ref.String()
	}
	b, err := json.MarshalIndent(f, "", "  ")
	return append(b, '\n'), err
}

// decode reads a file. Its errors do not quote it: an option may hold what somebody wants to keep for himself. With
// errNewer the session has no Options.
func decode(b []byte) (Session, error) {
	var head struct{ Version int }
	if err := json.Unmarshal(b, &head); err != nil {
		return Session{}, damage("it is not JSON of the log driver")
	}
	if head.Version > version {
		// Which FIFO it is, every version says in the same words: nobody else reads it.
		var f struct {
			File, ContainerID, ContainerName string
			Started                          time.Time
			Number                           uint64
		}
		_ = json.Unmarshal(b, &f) // what it cannot read is empty
		s := Session{File: f.File, ContainerID: f.ContainerID, ContainerName: f.ContainerName, Started: f.Started, Number: f.Number}
		return s, errors.Join(errNewer, s.check())
	}
	var f file
	if head.Version < 1 || json.Unmarshal(b, &f) != nil {
		return Session{}, damage("it is not a state file")
	}
	s := Session{
		File: f.File, ContainerID: f.ContainerID, ContainerName: f.ContainerName, Started: f.Started, Number: f.Number, History: max(f.History, options.NoHistory), ReadLogs: f.ReadLogs,
		Options: options.Options{
			Router: f.Router, Address: f.Address, Plain: f.Plain, References: map[string]secretref.Ref{}, Tag: f.Tag,
			Attributes: f.Attributes, About: router.About(f.About), Lines: f.Lines, SpoolMaxBytes: f.SpoolMaxBytes, SecretFailure: options.SecretFailure(f.SecretFailure),
		},
	}
	if f.Destination != "" || f.Unnamed {
		s.Options.Destination, s.Options.Unnamed, s.Options.Own, s.Options.Plain = f.Destination, f.Unnamed, f.Plain, nil
	}
	for name, text := range f.References {
		ref, err := secretref.Parse(text)
		if err != nil {
			return Session{}, damage(fmt.Sprintf("the reference for %s: %v", name, err))
		}
		s.Options.References[name] = ref
	}
	if err := s.check(); err != nil {
		return Session{}, err
	}
	return s, nil
}

// check reports what keeps the session from being continued.
func (s *Session) check() error {
	switch {
	case !filepath.IsAbs(s.File):
		return damage("it names no FIFO")
	case s.ContainerID == "":
		return damage("it names no container")
	case s.Options.SpoolMaxBytes < 0:
		return damage("its spoolMaxBytes is negative")
	}
	return nil
}
