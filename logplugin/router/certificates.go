package router

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// recheck is how long files of certificates are believed to be as they were.
const recheck = 10 * time.Second

// Certificates keeps the TLS configuration of a router, and reads the files of certificates and keys again when they have
// changed. A new file that cannot be used does not replace the old one. The zero value is ready for use, nil keeps nothing.
type Certificates struct {
	mu          sync.Mutex
	config      *tls.Config // nil before the first call
	fingerprint [sha256.Size]byte
	files       string // what is known of them
	checked     time.Time
	note        string
}

// Config returns v.TLS(n), read again when an option or a file has changed since the last call. The result is another one
// only then. Files are looked at once in 10 s.
func (c *Certificates) Config(v *Values, n TLSNames) *tls.Config {
	if c == nil {
		return v.TLS(n)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	h := sha256.New()
	for _, name := range append(n.Credentials(), n.ServerName, n.SkipVerify) {
		text := v.String(name, "")
		fmt.Fprintf(h, "%d\x00%s\x00", len(text), text)
	}
	fingerprint := [sha256.Size]byte(h.Sum(nil))
	now := time.Now()
	if c.config == nil || c.fingerprint != fingerprint {
		files := stamps(v, n)
		if made := v.TLS(n); v.err == nil {
			c.config, c.fingerprint, c.files, c.checked, c.note = made, fingerprint, files, now, ""
			return made
		}
		return &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if now.Sub(c.checked) < recheck {
		return c.config
	}
	c.checked = now
	files := stamps(v, n)
	if files == c.files && c.note == "" {
		return c.config
	}
	again := &Values{plain: v.plain, secrets: v.secrets, files: v.files}
	made := again.TLS(n)
	if again.err != nil {
		c.note = "the renewed certificate files cannot be used, the earlier ones stay in use: " + again.err.Error()
		return c.config
	}
	c.config, c.files, c.note = made, files, ""
	return made
}

// Note says what is wrong with files that were renewed; "" means nothing.
func (c *Certificates) Note() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.note
}

// stamps describes the files that the options name, so that a change shows.
func stamps(v *Values, n TLSNames) string {
	var b strings.Builder
	for _, name := range n.Credentials() {
		path := v.String(name, "")
		if !filepath.IsAbs(path) || strings.ContainsAny(path, "\n\x00") {
			continue
		}
		if _, err := v.allowed(path); err != nil {
			fmt.Fprintf(&b, "%s refused\n", name)
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			fmt.Fprintf(&b, "%s gone\n", name)
			continue
		}
		var inode uint64
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			inode = st.Ino
		}
		fmt.Fprintf(&b, "%s %d %d %d\n", name, inode, info.Size(), info.ModTime().UnixNano())
	}
	return b.String()
}
