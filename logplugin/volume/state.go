package volume

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	stateSuffix = ".json"
	tempSuffix  = ".new"
	maxState    = 1 << 20 // bytes of one volume's file
)

// record is what the disk keeps of a volume: references, never a value.
type record struct {
	Version       int               `json:"version"` // of this form: 1
	Name          string            `json:"name"`
	Options       map[string]string `json:"options"`
	Created       time.Time         `json:"created"`
	MountedBefore bool              `json:"mountedBefore"`
}

const recordVersion = 1

// stateDir is the directory of the volumes' files.
type stateDir string

// load reads all volumes. A file that is damaged gives a record with a name alone, and its error is in damaged: the daemon
// must not hear that the volume does not exist. Any other failure is an error: the caller tries again.
func (d stateDir) load() (records []record, damaged map[string]error, err error) {
	entries, err := os.ReadDir(string(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	damaged = map[string]error{}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), stateSuffix)
		if !ok || checkName(name) != nil {
			continue // a file that was being written, or not ours
		}
		b, err := readFile(d.file(name), maxState)
		if err != nil {
			return nil, nil, err
		}
		var r record
		switch err := json.Unmarshal(b, &r); {
		case err != nil || r.Name != name:
			damaged[name] = fmt.Errorf("the file %s is damaged; remove the volume and create it again", d.file(name))
			r = record{Name: name}
		case r.Version > recordVersion:
			damaged[name] = fmt.Errorf("the file %s is of a later version of secretref-logdriver", d.file(name))
		}
		records = append(records, r)
	}
	return records, damaged, nil
}

func (d stateDir) file(name string) string { return filepath.Join(string(d), name+stateSuffix) }

// save writes r, and returns when it is on the disk, with its name.
func (d stateDir) save(r record) error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return err
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	temp := d.file(r.Name) + tempSuffix
	err = writeSynced(temp, b)
	if err == nil {
		err = os.Rename(temp, d.file(r.Name))
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(temp))
	}
	return d.sync()
}

func (d stateDir) remove(name string) error {
	err := os.Remove(d.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(err, d.sync())
}

// sync forces the names in the directory to the disk.
func (d stateDir) sync() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, limit))
	return b, errors.Join(err, f.Close())
}
