package volume

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/secretref/secretref/shared/fault"
)

// Status is what `status` shows of a volume.
type Status struct {
	Name       string            `json:"name"`
	References []string          `json:"references"` // FILE=REFERENCE
	Created    time.Time         `json:"created"`
	Mounted    bool              `json:"mounted"`            // by a container, as far as is known
	Waiting    int               `json:"waiting,omitempty"`  // containers whose start waits for the volume
	Versions   map[string]string `json:"versions,omitempty"` // FILE: version of its secret, object or parameter; without those not read since the start
	Written    time.Time         `json:"written,omitzero"`   // when a value last changed; zero = there are no files
	Checked    time.Time         `json:"checked,omitzero"`   // when all values were last read
	Missing    []string          `json:"missing,omitempty"`  // files of a mounted volume that wait for AWS
	LastError  string            `json:"lastError,omitempty"`
	FailingFor time.Duration     `json:"failingFor,omitempty"` // nanoseconds
}

// Status returns all volumes by name.
func (v *Volumes) Status() []Status {
	v.mu.Lock()
	defer v.mu.Unlock()
	_ = v.loaded() // Attention says so
	var all []Status
	for _, name := range slices.Sorted(maps.Keys(v.known)) {
		x := v.known[name]
		s := Status{Name: name, Created: x.created, Mounted: len(x.mounts) > 0, Waiting: x.waiting, Versions: maps.Clone(x.versions), Checked: x.refreshed}
		for _, f := range x.spec.Files {
			s.References = append(s.References, f.Name+"="+f.Ref.String())
		}
		files, written := v.tree.present(name)
		s.Written = written
		if s.Mounted {
			s.Missing = missing(x.spec, files)
		}
		switch {
		case x.invalid != nil:
			s.LastError = fault.OneLine(x.invalid.Error())
		case x.lastErr != nil:
			s.LastError, s.FailingFor = fault.OneLine(x.lastErr.Error()), time.Since(x.failing)
		}
		all = append(all, s)
	}
	return all
}

// Incomplete returns why a container would not find all files of a volume, or nil. It may be called while the volume is mounted.
func (v *Volumes) Incomplete(name string) error {
	x, err := v.find(name)
	if err != nil {
		return fmt.Errorf("volume %s: %w", name, err)
	}
	files, _ := v.tree.present(name)
	lacks := missing(x.spec, files)
	if len(lacks) == 0 {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if x.lastErr != nil {
		return fmt.Errorf("volume %s lacks %s: %w", name, strings.Join(lacks, ", "), x.lastErr)
	}
	return fmt.Errorf("volume %s lacks %s", name, strings.Join(lacks, ", "))
}

// Space returns how many bytes of the tmpfs are free, and how many there are; 0 and 0 when it is not there.
func (v *Volumes) Space() (free, all uint64) { return v.tree.free() }

// Attention returns why a person should look, one line each.
func (v *Volumes) Attention() []string {
	var reasons []string
	all := v.Status()
	v.mu.Lock()
	if v.loadErr != nil {
		reasons = append(reasons, fault.OneLine(ErrUnread.Error()+": "+v.loadErr.Error()))
	}
	v.mu.Unlock()
	if err := v.tree.check(); err != nil {
		reasons = append(reasons, "volumes cannot be mounted: "+fault.OneLine(err.Error()))
	}
	for _, s := range all {
		switch {
		case s.Waiting > 0 && s.LastError != "":
			reasons = append(reasons, fmt.Sprintf("volume %s: containers whose start waits for it: %d; %s", s.Name, s.Waiting, s.LastError))
		case len(s.Missing) > 0:
			reasons = append(reasons, fmt.Sprintf("volume %s lacks files: %d; %s", s.Name, len(s.Missing), s.LastError))
		case s.LastError != "":
			reasons = append(reasons, fmt.Sprintf("volume %s: %s", s.Name, s.LastError))
		}
	}
	return reasons
}
