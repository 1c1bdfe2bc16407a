package session

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/frame"
	"github.com/secretref/secretref/logplugin/state"
)

// Bytes of a spool that are not lines, as a loss of power leaves them, are not left out in silence.
func TestDamagedSpool(t *testing.T) {
	t.Parallel()
	size := func(line string) int {
		return len(frame.AppendFrame(nil, &frame.Entry{Source: []byte("stdout"), TimeNano: 1, Line: []byte(line)}))
	}
	long := strings.Repeat("x", 500)
	for _, tt := range []struct {
		name   string
		lines  []string
		from   int // bytes that become zeros
		length int
		want   string
	}{
		{"in the middle", []string{"1", long, long, "4"}, size("1"), 2 * size(long), "1 secretref: 1034 bytes of lines are missing here: a part of the spool was lost 4"},
		{"in two places", []string{long, "2", long, "4"}, 0, size(long), "secretref: 517 bytes of lines are missing here: a part of the spool was lost 2 " + long + " 4"},
		{"at the end", []string{"1", "2", long}, 2 * size("1"), size(long), "1 2 secretref: 517 bytes of lines are missing here: a part of the spool was lost"},
		{"all", []string{long, long}, 0, 2 * size(long), "secretref: 1034 bytes of lines are missing here: a part of the spool was lost"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, m := inMemory(t), &memory{block: make(chan struct{})}
			file := filepath.Join(dir, "f")
			f := newFIFO(t, file)
			s := start(t, dir, m)
			if err := s.Start(t.Context(), file, info()); err != nil {
				t.Fatal(err)
			}
			write(t, f, tt.lines...)
			total := int64(0)
			for _, l := range tt.lines {
				total += int64(size(l))
			}
			await(t, "the lines in the spool", func() bool { return s.Status()[0].WaitingBytes == total })
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			_ = s.dir.Close()
			segments, err := filepath.Glob(s.spoolDir(file) + "/*.seg")
			if err != nil || len(segments) != 1 {
				t.Fatalf("segments %q, %v", segments, err)
			}
			segment, err := os.OpenFile(segments[0], os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := segment.WriteAt(make([]byte, tt.length), int64(tt.from)); err != nil {
				t.Fatal(err)
			}
			if err := segment.Close(); err != nil {
				t.Fatal(err)
			}
			after := &memory{}
			s = start(t, dir, after)
			s.Attach()
			if !strings.HasSuffix(tt.want, "lost") { // else the end of the log shows it
				after.wait(t, tt.want)
				if st := only(t, s); !strings.Contains(st.LastError, "cannot be read") {
					t.Errorf("last error %q, want one about bytes that cannot be read", st.LastError)
				}
			}
			f.Close()
			gone(t, s, file)
			after.wait(t, tt.want)
		})
	}
}

// A session whose state file is damaged is not read: status says so until the file that was set aside is deleted, also after a restart.
func TestDamagedState(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, dir, &memory{})
	id := state.ID("/f")
	file := filepath.Join(s.dir.Path(), "sessions", id+".json")
	if err := os.WriteFile(file, bytes.Repeat([]byte{0}, 100), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(s.spoolDir("/f"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s.Attach()
		if got := s.Damaged(); len(got) != 1 || !strings.Contains(got[0], file+state.DamagedSuffix) || !strings.Contains(got[0], s.spoolDir("/f")) {
			t.Errorf("Damaged = %q, want the file that was set aside and the spool", got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		_ = s.dir.Close()
		s = start(t, dir, &memory{})
	}
	s.Attach()
	if err := os.Remove(file + state.DamagedSuffix); err != nil {
		t.Fatal(err)
	}
	if got := s.Damaged(); len(got) != 0 {
		t.Errorf("Damaged = %q after the file was deleted, want none", got)
	}
}
