package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/secretref/secretref/shared/rig"
)

// secrets is everything that must be seen nowhere.
func (h *host) secrets() []*rig.Canary {
	all := []*rig.Canary{h.old, h.new, h.oldToken, h.newToken}
	if h.oldFile != nil {
		all = append(all, h.oldFile, h.newFile)
	}
	return all
}

// search looks for all secrets everywhere, in every form that a program may write one: plain, base64, hexadecimal.
func search(ctx context.Context, h *host) error {
	kept, err := filepath.Glob(cacheDir + "/" + h.group + "-*")
	if err != nil {
		return err
	}
	for _, path := range kept {
		if !strings.HasSuffix(path, ".lock") {
			h.sealed = append(h.sealed, filepath.Base(path))
		}
	}
	if len(h.sealed) == 0 {
		return errors.New("nothing is cached, so the search would prove less than it says")
	}
	if err := h.searchFinds(ctx); err != nil {
		return err
	}
	found, err := everywhere(ctx, h.secrets()...)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		return fmt.Errorf("a secret is in %s", strings.Join(found, ", "))
	}
	h.out.say("searched: every file below /, environment and command line of every process; found: none")
	h.out.say("what is kept is sealed: the key of this file is in the kernel alone, and ends with ttl and stale")
	return h.sh(ctx, command{line: "ls -l " + cacheDir + "/" + h.group + "-*", drop: []string{".lock"}, want: []string{h.group, "-rw-------"}})
}

// searchFinds proves that the search can find: a copy, as docker login would write it.
func (h *host) searchFinds(ctx context.Context) error {
	dir := filepath.Join(h.dir, "owner")
	path := filepath.Join(dir, "planted")
	if err := os.WriteFile(path, []byte(`{"password": "`+h.new.Value()+`"}`), 0o600); err != nil {
		return err
	}
	found, err := h.new.FindInFiles(ctx, dir)
	if err == nil && len(found) != 1 {
		err = errors.New("the search does not find a password that was planted")
	}
	return errors.Join(err, os.Remove(path))
}

func everywhere(ctx context.Context, secrets ...*rig.Canary) ([]string, error) {
	found, errs := make([][]string, len(secrets)), make([]error, len(secrets))
	var all sync.WaitGroup
	for i, p := range secrets {
		all.Go(func() {
			files, err := p.FindInFiles(ctx, "/")
			running, perr := p.FindInProc()
			found[i], errs[i] = append(files, running...), errors.Join(err, perr)
		})
	}
	all.Wait()
	var list []string
	for _, f := range found {
		list = append(list, f...)
	}
	return list, errors.Join(errs...)
}

// end takes everything down and looks whether it is gone.
func end(_ context.Context, h *host) error {
	dir, ip := h.dir, h.registry.IP()
	if err := errors.Join(h.takeDown()...); err != nil {
		return err
	}
	left, err := h.left(dir, ip)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("left behind: %s", strings.Join(left, ", "))
	}
	h.out.say("no process, mount, interface, file or key of this demo is left")
	return nil
}

// left lists what is still there of what was made below dir, at the address ip, in the cache and in the keyring.
func (h *host) left(dir, ip string) (left []string, err error) {
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		left = append(left, dir)
	}
	kept, err := filepath.Glob(cacheDir + "/" + h.group + "-*")
	if err != nil {
		return nil, err
	}
	left = append(left, kept...)
	keys, err := os.ReadFile("/proc/keys")
	if err != nil {
		return nil, err
	}
	for _, name := range h.sealed {
		if _, id, _ := strings.Cut(name, "-"); bytes.Contains(keys, []byte(id)) {
			left = append(left, "the key of "+name)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	if bytes.Contains(mounts, []byte(dir+"/")) {
		left = append(left, "a mount below "+dir)
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.String() == ip {
			left = append(left, "the address "+ip)
		}
	}
	for _, path := range []string{h.logs.socket(""), h.logs.socket("-files"), h.logs.files.values} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			left = append(left, path)
		}
	}
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range commands {
		if b, _ := os.ReadFile(path); bytes.Contains(b, []byte(dir+"/")) { // one that has just ended is fine
			left = append(left, path)
		}
	}
	return left, err
}
