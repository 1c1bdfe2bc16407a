package session

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/secretref/secretref/logplugin/state"
)

// journal is a log in JSON. It is safe for concurrent use.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) records(t *testing.T) (records []map[string]any) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	for line := range bytes.Lines(j.text.Bytes()) {
		var r map[string]any
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		records = append(records, r)
	}
	return records
}

// What is logged of a session, also by its spool, names the container, its name and the session.
func TestMessagesNameTheSession(t *testing.T) {
	t.Parallel()
	texts := map[string]bool{}
	for call := 1; call < 40; call += 3 {
		var log journal
		c := Config{spoolFS: &refusing{outage: outage{call, 1, syscall.EIO}}, Log: slog.New(slog.NewJSONHandler(&log, nil))}
		life(t, state.OS{}, c, func(int) {})
		for _, r := range log.records(t) {
			text := r["msg"].(string)
			if !strings.Contains(text, " session") && !strings.Contains(text, "spool") || text == "sessions of an earlier process go on" {
				continue
			}
			texts[text] = true
			id, _ := r["session"].(string)
			if r["container"] != short(info().ContainerID) || r["name"] != "web" || len(id) != 12 {
				t.Errorf("with a fault at call %d: %v", call, r)
			}
		}
	}
	for _, text := range []string{"spool goes on in memory: the disk does not take the log", "the file system refuses a spool, will retry", "the file system serves a spool again"} {
		if !texts[text] {
			t.Errorf("%q was not logged; there was %v", text, texts)
		}
	}
}

// Of a state that cannot be read, the session is known, whatever the file is called.
func TestMessagesNameTheState(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var log journal
	s := startWith(t, dir, &memory{}, state.OS{}, Config{Log: slog.New(slog.NewJSONHandler(&log, nil))})
	file := filepath.Join(dir, "f")
	for _, id := range []string{state.ID(file), "x"} {
		if err := os.WriteFile(filepath.Join(s.dir.Path(), "sessions", id+".json"), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(s.spoolDir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	s.Attach()
	named := map[any]int{}
	for _, r := range log.records(t) {
		named[r["session"]]++
	}
	if id := state.ID(file)[:12]; named[id] != 2 || named["x"] != 1 {
		t.Errorf("records by session: %v, want two of %s, state and spool, and one of x", named, id)
	}
}
