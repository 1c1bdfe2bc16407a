// Package history keeps what routers have accepted of the logs of containers, for `docker logs`.
//
// Use one Store for a state directory. Keep takes the file of a segment from a spool, List names what there is of one
// container in order. Each container has one directory, with one file for each segment of each of its sessions, whose name is
// number and name of the session, position of the first byte, position after the last, and number and name of the
// session whose lines were added last, if any were. So what is kept needs no index, and a process that is killed leaves either the file in
// the spool or the file here.
//
// History is worth less than everything else on the disk: it is deleted for the limit of its container, for the limit of all
// containers, for free space on the file system, and some time after the container has ended. What cannot be kept is removed.
package history

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// part is how much of the file system history may take: one part in so many.
const part = 10

// What is too much is deleted with a bit more, one part in so many of the limit: looking for the oldest costs something.
const extraPart = 20

// Config of a Store. Dir and Total must be set.
type Config struct {
	Dir       string        // made when the first file is kept, with mode 0700
	Total     int64         // bytes of all containers; never more than a tenth of the file system
	KeepEnded time.Duration // after the last line of a container that has ended; 0 = for ever
	// Live returns the containers that have sessions. Their history is deleted after that of containers without.
	Live func() map[string]bool
	Log  *slog.Logger // nil means no log
}

// Key names a session among those of its container, in their order.
type Key struct {
	Number  uint64
	Session string // hexadecimal digits
}

// Compare orders sessions by their number.
func (k Key) Compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Number, o.Number), cmp.Compare(k.Session, o.Session))
}

// Piece is a part of the log of one session.
type Piece struct {
	Key
	Base, End int64 // positions in the session
	last      bool  // no other piece of the session follows
	// joined is a session whose only piece has been added to this one; zero means none. If that piece is still there, the process was
	// killed before it removed it.
	joined Key
}

const (
	suffix     = ".log"
	lastSuffix = ".end"
)

func (p Piece) name() string {
	s := suffix
	if p.last {
		s = lastSuffix
	}
	if p.joined != (Key{}) {
		s = fmt.Sprintf("-%016x-%s%s", p.joined.Number, p.joined.Session, s)
	}
	return fmt.Sprintf("%016x-%s-%016x-%016x%s", p.Number, p.Session, p.Base, p.End, s)
}

// parse reads a name.
func parse(name string) (p Piece, ok bool) {
	text, last := strings.CutSuffix(name, lastSuffix)
	if !last {
		if text, ok = strings.CutSuffix(name, suffix); !ok {
			return Piece{}, false
		}
	}
	f := strings.Split(text, "-")
	var joined Key
	if len(f) == 6 {
		joined.Session = f[5]
		joined.Number, _ = strconv.ParseUint(f[4], 16, 64) // what is wrong makes another name
		f = f[:4]
	}
	if len(f) != 4 {
		return Piece{}, false
	}
	number, err1 := strconv.ParseUint(f[0], 16, 64)
	base, err2 := strconv.ParseInt(f[2], 16, 64)
	end, err3 := strconv.ParseInt(f[3], 16, 64)
	p = Piece{Key: Key{number, f[1]}, Base: base, End: end, last: last, joined: joined}
	return p, err1 == nil && err2 == nil && err3 == nil && base >= 0 && end > base && p.name() == name
}

func (p Piece) size() int64 { return p.End - p.Base }

func (p Piece) compare(o Piece) int { return cmp.Or(p.Key.Compare(o.Key), cmp.Compare(p.Base, o.Base)) }

// Store is the history of all containers.
type Store struct {
	cfg Config

	mu      sync.Mutex               // one change at a time; no lock of a spool is taken under it
	sizes   map[string]int64         // bytes by container, of those that are known; nil = Load has not been called
	total   int64                    // the sum of sizes
	readers map[string]int           // by container
	moving  map[string]chan struct{} // closed when readers of a container may begin; see Unread
	failing bool                     // the log says that history cannot be kept
}

// New returns the Store of a directory, which need not be there.
func New(cfg Config) *Store {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Live == nil {
		cfg.Live = func() map[string]bool { return nil }
	}
	return &Store{cfg: cfg, sizes: map[string]int64{}, readers: map[string]int{}, moving: map[string]chan struct{}{}}
}

// Load finds out how much there is. It may take long, and need not be waited for: until it is done, the limit of all
// containers counts what was kept since New. Call it once.
func (s *Store) Load() {
	entries, err := os.ReadDir(s.cfg.Dir)
	if err != nil {
		return // there is none, or the first Keep says why not
	}
	for _, e := range entries {
		s.mu.Lock()
		s.measure(e.Name())
		s.mu.Unlock()
	}
	s.Expire()
}

// measure makes known how much there is of a container. Call it under mu.
func (s *Store) measure(container string) int64 {
	if n, known := s.sizes[container]; known {
		return n
	}
	pieces, doubles, _ := s.scan(container)
	_ = s.remove(container, doubles) // merge tries again
	var n int64
	for _, p := range pieces {
		n += p.size()
	}
	s.count(container, n)
	return n
}

// count adds to what there is of a container. Call it under mu.
func (s *Store) count(container string, n int64) {
	s.sizes[container] += n
	s.total += n
}

// dir returns the directory of a container, "" for a name that is not one.
func (s *Store) dir(container string) string {
	if container == "" || strings.ContainsFunc(container, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return ""
	}
	return filepath.Join(s.cfg.Dir, container)
}

// Keep takes the file at path, which holds the bytes from base to end of a session. last says that no more follow. limit is
// how many bytes of the container are kept. Whatever happens the file is not at path afterwards, unless it can be neither moved
// nor removed, which is an error.
func (s *Store) Keep(container string, p Piece, path string, last bool, limit int64) error {
	p.last = last
	s.mu.Lock()
	defer s.mu.Unlock()
	dir := s.dir(container)
	if dir == "" || limit <= 0 || p.size() <= 0 {
		return os.Remove(path)
	}
	s.measure(container)
	err := os.Rename(path, filepath.Join(dir, p.name()))
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(dir, 0o700); err == nil {
			err = os.Rename(path, filepath.Join(dir, p.name()))
		}
	}
	if err != nil {
		if !s.failing {
			s.cfg.Log.Warn("delivered lines cannot be kept for docker logs", "dir", dir, "error", err)
		}
		s.failing = true
		return os.Remove(path)
	}
	s.failing = false
	s.count(container, p.size())
	if s.sizes[container] > limit {
		s.fit(container, limit-limit/extraPart)
	}
	if max := s.max(); s.total > max {
		s.evict(max - max/extraPart)
	}
	if last {
		s.merge(container)
	}
	return nil
}

// max returns how many bytes all containers may have.
func (s *Store) max() int64 {
	var st unix.Statfs_t
	if unix.Statfs(s.cfg.Dir, &st) != nil {
		return s.cfg.Total
	}
	return min(s.cfg.Total, int64(st.Blocks)*st.Bsize/part)
}

// fit deletes the oldest pieces of a container until it has no more than limit. Call it under mu.
func (s *Store) fit(container string, limit int64) (deleted int64) {
	if s.sizes[container] <= limit {
		return 0
	}
	pieces, err := s.list(container)
	if err != nil {
		return 0
	}
	for _, p := range pieces {
		if s.sizes[container] <= limit {
			break
		}
		if err := os.Remove(filepath.Join(s.dir(container), p.name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			break
		}
		s.count(container, -p.size())
		deleted += p.size()
	}
	if s.sizes[container] <= 0 {
		s.forgotten(container)
	}
	return deleted
}

// forgotten removes the directory of a container that has no history. Call it under mu.
func (s *Store) forgotten(container string) {
	_ = os.Remove(s.dir(container)) // there may be something else in it
	s.total -= s.sizes[container]
	delete(s.sizes, container)
}

// evict deletes history until there is no more than limit: of ended containers first, the oldest first. Call it under mu.
func (s *Store) evict(limit int64) (deleted int64) {
	for _, c := range s.byAge() {
		if s.total <= limit {
			break
		}
		deleted += s.fit(c.name, max(0, s.sizes[c.name]-(s.total-limit)))
	}
	return deleted
}

// aged is a container and when its newest piece was written.
type aged struct {
	name string
	live bool
	at   time.Time
}

// byAge returns the containers in the order in which their history is deleted. Call it under mu.
func (s *Store) byAge() []aged {
	live := s.cfg.Live()
	all := make([]aged, 0, len(s.sizes))
	for name := range s.sizes {
		all = append(all, aged{name, live[name], s.newest(name)})
	}
	slices.SortFunc(all, func(a, b aged) int {
		if a.live != b.live {
			if a.live {
				return 1
			}
			return -1
		}
		return a.at.Compare(b.at)
	})
	return all
}

// newest returns when the last line of a container was written, as far as its files say.
func (s *Store) newest(container string) time.Time {
	pieces, _ := s.list(container)
	if len(pieces) == 0 {
		return time.Time{}
	}
	fi, err := os.Stat(filepath.Join(s.dir(container), pieces[len(pieces)-1].name()))
	if err != nil {
		return time.Time{}
	}
	return fi.ModTime()
}

// Spare deletes history to make room on the file system, and reports whether there was any.
func (s *Store) Spare() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.evict(s.total-spareBytes) > 0
}

// spareBytes are deleted at once for free space.
const spareBytes = 64 << 20

// Expire deletes the history of containers that have ended long ago. Call it now and then.
func (s *Store) Expire() {
	if s.cfg.KeepEnded <= 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.byAge() {
		if !c.live && !c.at.IsZero() && time.Since(c.at) > s.cfg.KeepEnded {
			s.fit(c.name, 0)
		}
	}
}

// Forget deletes the history of a container that has ended, or of all of them for "", and returns how much that was.
func (s *Store) Forget(container string) (deleted Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.byAge() {
		if c.live || container != "" && c.name != container {
			continue
		}
		deleted.Containers++
		deleted.Bytes += s.fit(c.name, 0)
	}
	return deleted
}

// Containers returns the names of the containers that have history and begin with prefix.
func (s *Store) Containers(prefix string) (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.sizes {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Stats is how much there is.
type Stats struct {
	Bytes      int64 `json:"bytes"`
	Containers int   `json:"containers"`
}

// Stats returns the present numbers.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{s.total, len(s.sizes)}
}
