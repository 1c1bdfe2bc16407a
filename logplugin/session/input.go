package session

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"

	"github.com/secretref/secretref/logplugin/fifo"
)

// input is the FIFO of a session, which may not be open, and may not be readable for a while.
type input struct {
	path string
	gone atomic.Bool // it was not there when it was to be opened

	tried     chan struct{} // closed once somebody has tried to open it
	triedOnce sync.Once

	mu     sync.Mutex
	file   *os.File // nil = not open
	unread error    // why it cannot be read; nil = it is, or has ended
	told   bool     // the log says that it could not
}

// open returns the open FIFO.
func (i *input) open() (*os.File, error) {
	defer i.triedOnce.Do(func() { close(i.tried) })
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.file != nil {
		return i.file, nil
	}
	var err error
	if i.file, err = openFIFO(i.path); err == nil {
		i.unread = nil
	} else if isGone(err) {
		i.gone.Store(true)
	}
	return i.file, err
}

// closed notes that the FIFO is not open any more, and why it has to be opened again; nil = it has ended. It reports whether the
// log is to say so, once and not at every try.
func (i *input) closed(err error) (tell bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.file, i.unread = nil, err
	tell = err != nil && !i.told
	i.told = i.told || tell
	return tell
}

// failure returns why the FIFO cannot be read at the moment; nil = it can, or has ended.
func (i *input) failure() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.unread
}

// isEmpty reports whether nothing lies in the FIFO. Of one that cannot be opened at the moment nobody knows.
func (i *input) isEmpty() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.file != nil && fifo.IsEmpty(i.file)
}

// unreadBytes returns how many bytes lie in the FIFO, and whether it is open.
func (i *input) unreadBytes() (n int, open bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.file == nil {
		return 0, false
	}
	return fifo.Unread(i.file), true
}

// openFIFO opens the reading end without waiting for a writer.
func openFIFO(path string) (*os.File, error) {
	f, err := fifo.Open(path)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	return f, nil
}

// isGone reports whether an error of openFIFO says that there is no such FIFO. Everything else may pass, and then somebody has to
// read it.
func isGone(err error) bool { return fifo.IsGone(err) }
