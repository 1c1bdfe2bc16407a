package variables

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/secretref/secretref/shared/safefile"
)

// maxRemembered is how many containers are remembered; the one that was given its variables first is forgotten first.
const maxRemembered = 10_000

// fileName is that of the file below the state directory with the ids of the containers, one a line.
const fileName = "containers"

var containerID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$`)

// remembered are the containers that were given their variables before. The file gets a line for each new one, and is written anew
// when it has twice as many lines as are remembered.
type remembered struct {
	path string

	mu     sync.Mutex
	loaded bool
	ids    []string // the oldest first
	known  map[string]bool
	lines  int // of the file
}

func newRemembered(stateDir string) *remembered {
	return &remembered{path: filepath.Join(stateDir, "variables", fileName)}
}

// load reads the file, if that has not succeeded before. Call it under mu.
func (r *remembered) load() error {
	if r.loaded {
		return nil
	}
	f, err := safefile.Read(r.path, safefile.Options{Max: 4 * maxRemembered * 130})
	if err != nil && !safefile.IsMissing(err) {
		return err
	}
	r.known = map[string]bool{}
	for line := range bytes.Lines(f.Data) {
		if id := strings.TrimSuffix(string(line), "\n"); containerID.MatchString(id) { // a crash may have cut one
			r.lines++
			r.keep(id)
		}
	}
	r.loaded = true
	return nil
}

// keep adds an id to what is known.
func (r *remembered) keep(id string) {
	if r.known[id] {
		return
	}
	r.known[id] = true
	if r.ids = append(r.ids, id); len(r.ids) > maxRemembered {
		delete(r.known, r.ids[0])
		r.ids = slices.Delete(r.ids, 0, 1)
	}
}

// has reports whether a container was given its variables before.
func (r *remembered) has(id string) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.load(); err != nil {
		return false, err
	}
	return r.known[id], nil
}

// count returns how many containers are remembered.
func (r *remembered) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.load() // then it is those of this process
	return len(r.ids)
}

// add remembers a container. When it returns nil, it is on the disk.
func (r *remembered) add(id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.load(); err != nil {
		return err
	}
	if r.known[id] {
		return nil
	}
	if r.lines >= 2*maxRemembered {
		if err := r.writeAnew(); err != nil {
			return err
		}
	}
	if err := appendLine(r.path, id); err != nil {
		return err
	}
	r.lines++
	r.keep(id)
	return nil
}

func appendLine(path, line string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString("\n" + line + "\n") // not behind a line that a crash has cut
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// writeAnew writes the file with what is remembered alone.
func (r *remembered) writeAnew() error {
	temp := r.path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := appendLine(temp, strings.Join(r.ids, "\n"))
	if err == nil {
		err = os.Rename(temp, r.path)
	}
	if err == nil {
		r.lines = len(r.ids)
	}
	return err
}
