// Package filebudget shares out the files (descriptors) that the process may have open. A log driver that runs out of them
// can neither answer the daemon nor open a FIFO, so the parts that must go on have a reserve that nobody else can use.
//
// Use Raise once, at the start, and For with what it returns. The order is: the daemon's calls first, then sessions that
// were accepted, then new ones, and people who ask for status and metrics last. Each part keeps to its own number, and listeners hold spare files besides, see Bound: a part may miscount.
package filebudget

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Budget is how many files each part may have open at once.
type Budget struct {
	Limit        int // of the process
	Fixed        int // standard files, listeners, the lock, the runtime, spare files, and files that are read and closed at once
	Daemon       int // connections of the daemon
	Volumes      int // connections of the daemon to the socket of volumes
	Runtime      int // connections of secretref-runtime
	Status       int // connections to the status socket
	Metrics      int // connections to metrics_address
	Destinations int // connections to routers and to AWS
	Readers      int // answers to docker logs at once; each has a connection of the daemon and a file
	// Sessions is what the FIFOs and segments of all sessions may have together. A container that was never accepted is
	// refused when it would need more.
	Sessions int
	// Accepted is the same for sessions of containers that were accepted: they also use what destinations, status and
	// metrics leave.
	Accepted int
}

// For shares out limit, with a part for volumes and for secretref-runtime where they are served. A limit that is too small for all leaves at least one file to
// each part.
func For(limit int, volumes, runtime bool) Budget {
	b := Budget{
		Limit:        limit,
		Fixed:        between(16, limit/8, 24),
		Daemon:       between(4, limit/16, 64),
		Status:       between(2, limit/32, 8),
		Metrics:      between(2, limit/32, 8),
		Destinations: between(4, limit/8, 1024),
		Readers:      between(1, limit/64, 256),
	}
	if volumes {
		b.Volumes = between(2, limit/32, 32)
	}
	if runtime {
		b.Runtime = between(2, limit/32, 32)
	}
	b.Destinations = max(4, b.Destinations-2*b.Readers)
	b.Sessions = max(1, limit-b.Fixed-b.Daemon-b.Volumes-b.Runtime-b.Status-b.Metrics-b.Destinations-2*b.Readers)
	b.Accepted = max(b.Sessions, limit-b.Fixed-b.Daemon-b.Volumes-b.Runtime-b.Status-2*b.Readers)
	return b
}

func between(low, n, high int) int { return min(max(low, n), high) }

// most bounds the limit: with more, the kernel's table of files alone takes memory that the driver does not need.
const most = 1 << 20

// Raise sets the soft limit of the process to its hard limit, and returns the limit that holds then. An error says why
// the limit could not be raised; the number is right all the same, unless it is 0.
func Raise() (limit int, err error) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, fmt.Errorf("read the limit of open files: %w", err)
	}
	if want := min(r.Max, most); want > r.Cur {
		raised := unix.Rlimit{Cur: want, Max: r.Max}
		if err = unix.Setrlimit(unix.RLIMIT_NOFILE, &raised); err == nil {
			r = raised
		} else {
			err = fmt.Errorf("raise the limit of open files from %d to %d: %w", r.Cur, want, err)
		}
	}
	return int(min(r.Cur, most)), err //nolint:gosec // not more than most
}
