package history

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const noLimit = 1 << 40

// shelf is a Store, and the directory from which it takes files.
type shelf struct {
	*Store
	t    *testing.T
	from string
	live map[string]bool
}

func newShelf(t *testing.T, total int64) *shelf {
	t.Helper()
	dir := t.TempDir()
	s := &shelf{t: t, from: dir, live: map[string]bool{}}
	s.Store = New(Config{Dir: filepath.Join(dir, "history"), Total: total, KeepEnded: time.Hour, Live: func() map[string]bool { return s.live }})
	return s
}

// keep keeps text as what follows base in the log of a session.
func (s *shelf) keep(container string, session uint64, base int, text string, last bool, limit int64) {
	s.t.Helper()
	path := filepath.Join(s.from, "segment")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	p := Piece{Key: Key{session, fmt.Sprintf("%012x", session)}, Base: int64(base), End: int64(base + len(text))}
	if err := s.Keep(container, p, path, last, limit); err != nil {
		s.t.Errorf("Keep(%s, %+v): %v", container, p, err)
	}
	if _, err := os.Lstat(path); err == nil {
		s.t.Errorf("Keep(%s, %+v) has left the file", container, p)
	}
}

// text returns what is kept of a container.
func (s *shelf) text(container string) string {
	s.t.Helper()
	pieces, err := s.List(container)
	if err != nil {
		s.t.Fatal(err)
	}
	var b strings.Builder
	for _, p := range pieces {
		f, err := s.Open(container, p)
		if err != nil {
			s.t.Fatal(err)
		}
		_, err = io.Copy(&b, io.NewSectionReader(f, 0, p.End-p.Base))
		if err := f.Close(); err != nil {
			s.t.Error(err)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return b.String()
}

func (s *shelf) age(container string, by time.Duration) {
	s.t.Helper()
	pieces, _ := s.List(container)
	for _, p := range pieces {
		at := time.Now().Add(-by)
		if err := os.Chtimes(filepath.Join(s.dir(container), p.name()), at, at); err != nil {
			s.t.Fatal(err)
		}
	}
}

func TestOrder(t *testing.T) {
	s := newShelf(t, noLimit)
	s.keep("a", 16, 0, "six", true, noLimit)
	s.keep("a", 3, 2, "four", true, noLimit) // of a session that was parked for a while
	s.keep("a", 3, 0, "3.", false, noLimit)
	s.keep("b", 1, 0, "other", true, noLimit)
	if got := s.text("a"); got != "3.foursix" {
		t.Errorf("kept %q, want the pieces by session and position", got)
	}
	if got := s.Stats(); got != (Stats{Bytes: 14, Containers: 2}) {
		t.Errorf("Stats() = %+v", got)
	}
	again := New(s.cfg)
	again.Load()
	if got := again.Stats(); got != s.Stats() {
		t.Errorf("after a restart Stats() = %+v, want %+v", got, s.Stats())
	}
}

func TestLimitOfContainer(t *testing.T) {
	s := newShelf(t, noLimit)
	for i := range 10 {
		s.keep("a", 1, 10*i, fmt.Sprintf("%-10d", i), false, 35)
	}
	if got, want := s.text("a"), "7         8         9         "; got != want {
		t.Errorf("kept %q, want %q", got, want)
	}
	s.keep("a", 1, 100, "more than the limit", false, 5)
	if got := s.text("a"); got != "" {
		t.Errorf("kept %q, want nothing", got)
	}
	s.keep("b", 1, 0, "nothing is kept", false, 0)
	if got := s.Stats(); got != (Stats{}) {
		t.Errorf("Stats() = %+v, want nothing", got)
	}
	if entries, err := os.ReadDir(s.cfg.Dir); err != nil || len(entries) > 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

// The oldest of those that have ended goes first, and one that runs last.
func TestLimitOfAll(t *testing.T) {
	s := newShelf(t, 300)
	hundred := strings.Repeat("x", 100)
	s.live["runs"] = true
	s.keep("runs", 1, 0, hundred, false, noLimit)
	s.keep("old", 2, 0, hundred, true, noLimit)
	s.keep("new", 3, 0, hundred, true, noLimit)
	s.age("runs", 3*time.Minute)
	s.age("old", 2*time.Minute)
	s.age("new", time.Minute)
	s.keep("runs", 1, 100, hundred, false, noLimit)
	for name, want := range map[string]int{"runs": 200, "old": 0, "new": 0} {
		if got := len(s.text(name)); got != want && (name != "new" || got != 100) {
			t.Errorf("%s has %d bytes, want %d", name, got, want)
		}
	}
	if got := s.Stats().Bytes; got > 300 {
		t.Errorf("%d bytes are kept, want at most 300", got)
	}
	if !s.Spare() || s.Stats().Bytes != 0 || s.Spare() {
		t.Errorf("Spare() has left %+v, want nothing, and then nothing to delete", s.Stats())
	}
}

func TestExpireAndForget(t *testing.T) {
	s := newShelf(t, noLimit)
	for i, name := range []string{"runs", "old", "young"} {
		s.keep(name, uint64(i+1), 0, "text", true, noLimit)
	}
	s.live["runs"] = true
	s.age("runs", 2*time.Hour)
	s.age("old", 2*time.Hour)
	s.Expire()
	if got := s.Containers(""); len(got) != 2 || s.text("old") != "" {
		t.Errorf("after Expire: %v, want runs and young", got)
	}
	if got := s.Forget("runs"); got != (Stats{}) {
		t.Errorf("Forget(runs) = %+v, want nothing: it has sessions", got)
	}
	if got := s.Forget(""); got != (Stats{Bytes: 4, Containers: 1}) || s.text("runs") != "text" {
		t.Errorf("Forget() = %+v, want one container with 4 bytes, and that runs has its own", got)
	}
}

// A container that is started again and again leaves few files, and nothing of it is lost or changes its place.
func TestManySessions(t *testing.T) {
	s := newShelf(t, noLimit)
	var want strings.Builder
	add := func(n int) {
		for range n {
			i := want.Len()
			text := fmt.Sprintf("session at %d\n", i)
			want.WriteString(text)
			s.keep("a", uint64(i+1), 0, text, true, noLimit)
		}
	}
	done := s.Reading("a")
	add(maxPieces + 10)
	if pieces, _ := s.List("a"); len(pieces) != maxPieces+10 {
		t.Errorf("%d pieces while somebody reads, want %d", len(pieces), maxPieces+10)
	}
	done()
	add(500)
	if pieces, err := s.List("a"); err != nil || len(pieces) > maxPieces+1 {
		t.Errorf("%d pieces, %v, want at most %d", len(pieces), err, maxPieces+1)
	}
	if got := s.text("a"); got != want.String() {
		t.Errorf("kept %d bytes, want %d; first difference in %.100q", len(got), want.Len(), got)
	}
	if got := s.Stats().Bytes; got != int64(want.Len()) {
		t.Errorf("counted %d bytes, want %d", got, want.Len())
	}
}

// A process that is killed at any moment while files are joined shows each line once, and loses none. What it leaves is removed.
func TestKilledWhileJoining(t *testing.T) {
	const sessions = maxPieces + 3
	// moments are what the process has done, of: write the bytes of the second piece behind the first, rename the first, remove
	// the second.
	for moment, name := range []string{"before all", "written", "renamed", "removed"} {
		t.Run(name, func(t *testing.T) {
			s := newShelf(t, noLimit)
			done := s.Reading("a") // nothing is joined yet
			var want strings.Builder
			for i := range sessions {
				text := fmt.Sprintf("session %d\n", i)
				want.WriteString(text)
				s.keep("a", uint64(i+1), 0, text, true, noLimit)
			}
			done()
			pieces, err := s.List("a")
			if err != nil {
				t.Fatal(err)
			}
			into, second := pieces[0], pieces[1]
			joined := into
			joined.End, joined.joined = into.End+second.size(), second.Key
			path := func(p Piece) string { return filepath.Join(s.dir("a"), p.name()) }
			bytes, err := os.ReadFile(path(second))
			if err == nil && moment >= 1 {
				var first []byte
				first, err = os.ReadFile(path(into))
				err = errors.Join(err, os.WriteFile(path(into), append(first, bytes...), 0o600))
			}
			if err == nil && moment >= 2 {
				err = os.Rename(path(into), path(joined))
			}
			if err == nil && moment >= 3 {
				err = os.Remove(path(second))
			}
			if err != nil {
				t.Fatal(err)
			}

			if got := s.text("a"); got != want.String() {
				t.Errorf("before the next start %.60q is kept, want %.60q", got, want.String())
			}
			again := &shelf{Store: New(s.cfg), t: t, from: s.from}
			again.Load()
			if got := again.Stats().Bytes; got != int64(want.Len()) {
				t.Errorf("after the next start %d bytes are counted, want %d", got, want.Len())
			}
			if _, err := os.Lstat(path(second)); (err == nil) != (moment < 2) {
				t.Errorf("after the next start the second file is there: %v", err == nil)
			}
			want.WriteString("more\n")
			again.keep("a", sessions+1, 0, "more\n", true, noLimit) // all are joined
			if got := again.text("a"); got != want.String() {
				t.Errorf("after they were joined %.60q is kept, want %.60q", got, want.String())
			}
			if pieces, err := again.List("a"); err != nil || len(pieces) != 1 || again.Stats().Bytes != int64(want.Len()) {
				t.Errorf("%d pieces, %v, of %d bytes; want one with %d", len(pieces), err, again.Stats().Bytes, want.Len())
			}
		})
	}
}

func TestNames(t *testing.T) {
	for _, p := range []Piece{
		{Key: Key{1, "0123456789ab"}, Base: 0, End: 1, last: true, joined: Key{1 << 40, "ab"}},
		{Key: Key{1, "0123456789ab"}, Base: 0, End: 1},
		{Key: Key{1 << 63, "f"}, Base: 1 << 40, End: 1<<62 + 1, last: true},
	} {
		if got, ok := parse(p.name()); !ok || got != p {
			t.Errorf("parse(%q) = %+v, %v, want %+v", p.name(), got, ok, p)
		}
	}
	for _, name := range []string{
		"", "cursor", "0000000000000001-ab-0000000000000000-0000000000000001", "0000000000000001-ab-0000000000000000-0000000000000000.log",
		"1-ab-0-1.log", "0000000000000001-ab-0000000000000002-0000000000000001.log", "0000000000000001-ab-000000000000000x-0000000000000001.log",
		"0000000000000001-ab-cd-0000000000000000-0000000000000001.log", "0000000000000001-ab-0000000000000000-0000000000000001-1-cd.log",
		"0000000000000001-ab-0000000000000000-0000000000000001-0000000000000001.log", "0000000000000001-ab-0000000000000000-0000000000000001-x-cd.log",
	} {
		if p, ok := parse(name); ok {
			t.Errorf("parse(%q) = %+v, want none", name, p)
		}
	}
	s := newShelf(t, noLimit)
	for _, container := range []string{"", ".", "..", "../x", "a/b", "a b"} {
		s.keep(container, 1, 0, "text", true, noLimit)
		if pieces, err := s.List(container); len(pieces) > 0 || err != nil {
			t.Errorf("List(%q) = %v, %v, want nothing", container, pieces, err)
		}
	}
	if _, err := os.Lstat(s.cfg.Dir); err == nil {
		t.Error("a name that is not a container's has made a directory")
	}
}

// A container that has reached its limit keeps nearly all that it may, and does not look through its files for each new one.
func TestKeepAtTheLimit(t *testing.T) {
	s := newShelf(t, noLimit)
	const limit, size = 100_000, 1000
	text, base := strings.Repeat("x", size), 0
	one := func() {
		s.keep("a", 1, base, text, false, limit)
		base += size
		if got := s.Stats().Bytes; got > limit || base > 2*limit && got < limit-limit/extraPart-size {
			t.Fatalf("%d bytes are kept of a limit of %d", got, limit)
		}
	}
	for base < 2*limit {
		one()
	}
	if n := testing.AllocsPerRun(100, one); n > 300 {
		t.Errorf("a piece allocates %v times at the limit, want 300 at most: the container has %d pieces", n, limit/size)
	}
}
