package spool

import (
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// openFiles counts the files that the spools have open. Files are a budget of the whole process: one that has not been
// used for a while is closed, and opened again at need.
type openFiles struct {
	idle  time.Duration
	open  atomic.Int64
	armed atomic.Bool // a look for idle files is due
}

// openFile opens a file that closeFile is to close.
func (st *Store) openFile(path string, flag int) (File, error) {
	f, err := st.fs.Open(path, flag)
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		st.closeUnused(true)
		f, err = st.fs.Open(path, flag)
	}
	if err != nil {
		return nil, err
	}
	st.files.open.Add(1)
	st.lookLater()
	return f, nil
}

func (st *Store) closeFile(f File) {
	if f != nil {
		st.files.open.Add(-1)
		_ = f.Close() // what was written is in the kernel
	}
}

// lookLater closes unused files after a while, as long as there are any. The timer ends with the last file.
func (st *Store) lookLater() {
	if st.files.armed.CompareAndSwap(false, true) {
		time.AfterFunc(st.files.idle, func() {
			st.files.armed.Store(false)
			st.closeUnused(false)
			if st.files.open.Load() > 0 {
				st.lookLater()
			}
		})
	}
}

// closeUnused closes the files that have not been used since the last look, or with now all that are not in use.
func (st *Store) closeUnused(now bool) {
	for _, s := range st.all() {
		s.segs.closeUnused(now)
		s.ledger.closeUnused(st, now)
	}
}
