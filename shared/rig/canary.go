package rig

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Canary is a secret that is pushed through the programs and then searched for: as it is, in base64 however it was
// aligned (config.json has user:password), in hexadecimal, and URL-escaped.
type Canary struct {
	value    string
	born     time.Time // no file that was last changed before can hold it; zero = look into every file
	patterns [][]byte
}

// NewCanary makes a value that exists nowhere, so that the search finds neither the test's source nor itself. Give it
// to programs by the way under test alone, never in arguments or environment. It can be a password and a JSON string.
func NewCanary() *Canary {
	var b [12]byte
	_, _ = rand.Read(b[:])                               // never fails
	c := CanaryOf("c4n4ry/+" + hex.EncodeToString(b[:])) // with characters that URL-escaping changes
	c.born = time.Now().Add(-2 * time.Second)            // file times are coarser than the clock
	return c
}

// CanaryOf searches for a given value, of at least 8 bytes: the shorter it is, the more often it is there by chance.
func CanaryOf(value string) *Canary {
	if len(value) < 8 {
		panic("a canary needs 8 bytes") // a mistake in a test
	}
	lower := hex.EncodeToString([]byte(value))
	p := []string{value, lower, strings.ToUpper(lower), url.QueryEscape(value), url.PathEscape(value)}
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for offset := range 3 {
			p = append(p, base64Core(e, value, offset))
		}
	}
	c := &Canary{value: value}
	slices.Sort(p)
	for _, s := range slices.Compact(p) {
		c.patterns = append(c.patterns, []byte(s))
	}
	return c
}

// base64Core returns the part of value's base64 form that does not depend on its neighbours, when offset bytes stand
// before it in its group of three.
func base64Core(e *base64.Encoding, value string, offset int) string {
	s := e.EncodeToString([]byte(strings.Repeat("\x00", offset) + value))
	if offset > 0 {
		s = s[offset+1:] // characters with bits of what stands before
	}
	if tail := (offset + len(value)) % 3; tail > 0 {
		s = s[:len(s)-1] // a character with bits of what stands after
	}
	return s
}

// Value is the secret.
func (c *Canary) Value() string { return c.value }

// In reports whether the secret is in text, in any of the forms.
func (c *Canary) In(text string) bool { return c.in([]byte(text)) }

func (c *Canary) in(b []byte) bool {
	return slices.ContainsFunc(c.patterns, func(p []byte) bool { return bytes.Contains(b, p) })
}

// FindInFiles returns the regular files under roots that hold the secret, in content or name. It skips /proc and /sys,
// follows no symlink, and does not mind files that vanish; a file that cannot be read is an error, because then
// nothing is proved.
func (c *Canary) FindInFiles(ctx context.Context, roots ...string) (found []string, err error) {
	var errs []error
	buf := make([]byte, 1<<20)
	for _, root := range roots {
		err := filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
			switch {
			case ctx.Err() != nil:
				return fmt.Errorf("search %s: %w", root, context.Cause(ctx))
			case errors.Is(err, fs.ErrNotExist):
				return nil
			case err != nil:
				errs = append(errs, err)
				return nil
			case e.IsDir() && (p == "/proc" || p == "/sys"):
				return filepath.SkipDir
			}
			hit := c.in([]byte(e.Name()))
			if !hit && e.Type().IsRegular() {
				hit, err = c.inFile(p, e, buf)
			}
			if hit {
				found = append(found, p)
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
			return nil
		})
		errs = append(errs, err)
	}
	return found, errors.Join(errs...)
}

func (c *Canary) inFile(path string, e fs.DirEntry, buf []byte) (bool, error) {
	fi, err := e.Info()
	if err != nil {
		return false, err
	}
	// The time of change, unlike that of modification, cannot be set back.
	if st, ok := fi.Sys().(*syscall.Stat_t); ok && time.Unix(st.Ctim.Unix()).Before(c.born) {
		return false, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return c.inReader(f, buf)
}

// inReader searches r through buf. The end of each piece is searched again with the next.
func (c *Canary) inReader(r io.Reader, buf []byte) (bool, error) {
	keep := 0
	for _, p := range c.patterns {
		keep = max(keep, len(p)-1)
	}
	held := 0
	for {
		n, err := r.Read(buf[held:])
		if c.in(buf[:held+n]) {
			return true, nil
		}
		if err != nil {
			if err == io.EOF {
				err = nil
			}
			return false, err
		}
		rest := min(keep, held+n)
		copy(buf, buf[held+n-rest:held+n])
		held = rest
	}
}

// FindInProc returns the files /proc/*/environ, cmdline and comm that hold the secret: of every process, also this one,
// but for those that not even root may look at, because they are outside of the container that the tests run in.
func (c *Canary) FindInProc() ([]string, error) {
	var found []string
	var errs []error
	for _, pid := range processes() {
		for _, name := range []string{"environ", "cmdline", "comm"} {
			p := fmt.Sprintf("/proc/%d/%s", pid, name)
			b, err := os.ReadFile(p)
			if c.in(b) {
				found = append(found, p)
			}
			gone := errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
			if err != nil && !gone && !errors.Is(err, fs.ErrPermission) {
				errs = append(errs, err)
			}
		}
	}
	return found, errors.Join(errs...)
}
