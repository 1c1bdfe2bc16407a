package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// resolver is the program that asks AWS. It lies beside this one, or in ../libexec/secretref.
const resolver = "secretref-resolve"

// handOver becomes the resolver. There is one process all along: the client's signals and its wait go to the right
// place. stdin goes through a pipe, which holds at least 4 KiB without a reader; nil leaves standard input as it is.
func handOver(args []string, stdin []byte, env ...string) error {
	path, err := findResolver()
	if err != nil {
		return err
	}
	if stdin != nil {
		if err := feed(stdin); err != nil {
			return fmt.Errorf("hand over to %s: %w", path, err)
		}
	}
	// One call to AWS has no use for more processors, and getting them ready takes time. The first of two values wins: the
	// user's own.
	err = syscall.Exec(path, append([]string{resolver}, args...), append(append(env, os.Environ()...), "GOMAXPROCS=1"))
	return fmt.Errorf("run %s: %w; reinstall the package", path, err)
}

func findResolver() (string, error) {
	self, err := os.Executable()
	if err == nil {
		self, err = filepath.EvalSymlinks(self)
	}
	if err != nil {
		return "", fmt.Errorf("find this program's own path: %w; is /proc mounted?", err)
	}
	dir := filepath.Dir(self)
	for _, path := range []string{filepath.Join(dir, resolver), filepath.Join(dir, "..", "libexec", "secretref", resolver)} {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", errors.New(resolver + " is neither in " + dir + " nor in ../libexec/secretref; install both programs together")
}

// feed makes b the standard input.
func feed(b []byte) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer w.Close()
	if _, err := w.Write(b); err != nil {
		return err
	}
	return syscall.Dup3(int(r.Fd()), 0, 0)
}
