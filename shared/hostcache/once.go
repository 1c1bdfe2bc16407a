package hostcache

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const oncePrefix = "once."

// Once reports whether something of that name may be done now, so that the processes of one user do it at most once in a
// period. It needs no keyring, and keeps nothing but a time. Without a directory for that, or another process asks at
// this very moment, the answer is no. A zero Options is right for a program.
func Once(o Options, name string, period time.Duration) bool {
	if o.Dirs == nil {
		o.Dirs = DefaultDirs()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	d, err := firstSuitable(o.Dirs)
	if err != nil {
		return false
	}
	defer d.close() //nolint:errcheck // only looked into
	sum := sha256.Sum256([]byte(name))
	fd, err := unix.Openat(d.fd, oncePrefix+hex.EncodeToString(sum[:16]), unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return false
	}
	defer unix.Close(fd) //nolint:errcheck // a lost time costs one line more
	var st unix.Stat_t
	if unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) != nil || unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return false
	}
	now := o.Now()
	last := make([]byte, 20) // decimal nanoseconds
	n, err := unix.Pread(fd, last, 0)
	if err != nil {
		return false
	}
	// A time in the future is from before the clock was set back.
	if ns, err := strconv.ParseInt(strings.TrimSpace(string(last[:n])), 10, 64); err == nil && ns <= now.UnixNano() && now.Sub(time.Unix(0, ns)) < period {
		return false
	}
	text := fmt.Appendf(nil, "%20d", now.UnixNano())
	n, err = unix.Pwrite(fd, text, 0)
	return err == nil && n == len(text)
}
