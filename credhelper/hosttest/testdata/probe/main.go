// Command probe does to this project's programs and keys what a curious process on the host or in a container can do,
// and writes what came of it, one line each.
package main

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: probe walk NAME ROOT | read SERIAL | peek PID | session PROGRAM ARG... | fill PROGRAM ARG...")
		os.Exit(2)
	}
	runtime.LockOSThread() // keyrings and ptrace belong to threads
	commands := map[string]func([]string) error{"walk": walk, "read": read, "peek": peek, "session": session, "fill": fill}
	f, ok := commands[os.Args[1]]
	if !ok {
		fmt.Fprintln(os.Stderr, "probe: no such command")
		os.Exit(2)
	}
	err := f(os.Args[2:])
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

// walk looks for a cache entry's key, and tries it on every file that can be seen below a directory.
func walk(args []string) error {
	if len(args) != 2 {
		return errors.New("walk takes a name and a directory")
	}
	name, root := args[0], args[1]
	_, id, _ := strings.Cut(name, "-")
	list, err := os.ReadFile("/proc/keys")
	fmt.Printf("listed: %v %v\n", strings.Contains(string(list), id), err)
	key := find(id)
	files, named := 0, 0
	err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil, path == "/sys":
			return fs.SkipDir
		case path == "/proc" || strings.HasPrefix(path, "/proc/"):
			return ofProcess(path, e)
		case strings.Contains(e.Name(), id) && !e.IsDir():
			named++
			fmt.Println("named:", path)
		}
		if e.Type().IsRegular() {
			files++
			if opens(path, name, key) {
				fmt.Println("opened:", path)
			}
		}
		return nil
	})
	// Also what another root may show: that of the first process, and of our parent.
	for _, dir := range []string{"/run/secretref", "/dev/shm/secretref-0", "/proc/1/root/run/secretref", "/proc/1/root/dev/shm/secretref-0"} {
		if path := filepath.Join(dir, name); opens(path, name, key) {
			fmt.Println("opened:", path)
		}
	}
	fmt.Printf("walked: %d files, %d of that name, %v\n", files, named, err)
	return nil
}

// ofProcess goes into /proc itself and nothing below: a walk through the roots and open files there may have no end.
func ofProcess(path string, e fs.DirEntry) error {
	if path != "/proc" && e.IsDir() {
		return fs.SkipDir
	}
	return nil
}

func find(id string) []byte {
	serial, err := unix.KeyctlSearch(unix.KEY_SPEC_USER_KEYRING, "user", "secretref:"+id, 0)
	if err != nil {
		fmt.Println("search:", err)
		return nil
	}
	key := make([]byte, 64)
	n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, serial, key, 0)
	if err != nil {
		fmt.Println("search: found, but", err)
		return nil
	}
	fmt.Println("key:", hex.EncodeToString(key[:n]))
	return key[:n]
}

// opens reports whether the key opens the file: a byte, a nonce, the text.
func opens(path, name string, key []byte) bool {
	info, err := os.Stat(path)
	if err != nil || info.Size() > 1<<20 || key == nil {
		return false
	}
	b, err := os.ReadFile(path)
	if err != nil || len(b) < 29 {
		return false
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return false
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return false
	}
	_, err = gcm.Open(nil, b[1:13], b[13:], []byte(name))
	return err == nil
}

// read reads a key by its serial number.
func read(args []string) error {
	serial, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	b := make([]byte, 64)
	n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, serial, b, 0)
	fmt.Println("read:", n > 0, err)
	return nil
}

// peek tries to look into another process.
func peek(args []string) error {
	pid, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	for _, file := range []string{"mem", "environ", "maps", "auxv"} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/%s", pid, file))
		if err == nil && file == "environ" {
			_, err = io.ReadAll(f)
		}
		if err == nil {
			_ = f.Close()
		}
		fmt.Printf("%s: %v\n", file, err)
	}
	_, err = os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	fmt.Println("fd:", err)
	err = unix.PtraceAttach(pid)
	fmt.Println("ptrace:", err)
	if err == nil {
		_, _ = unix.Wait4(pid, nil, unix.WALL, nil)
		_ = unix.PtraceDetach(pid)
	}
	buf := make([]byte, 1)
	local := []unix.Iovec{{Base: &buf[0], Len: 1}}
	// The address is nobody's: a process that may look is told EFAULT.
	_, err = unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: 8, Len: 1}}, 0)
	if errors.Is(err, unix.EFAULT) {
		err = nil
	}
	fmt.Println("process_vm_readv:", err)
	return nil
}

// session becomes a program in a new anonymous session keyring, which is not linked to that of the user: what systemd
// gives to services.
func session(args []string) error {
	if err := join(); err != nil {
		return err
	}
	return syscall.Exec(args[0], args, os.Environ())
}

func join() error {
	_, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
	return err
}

// fill uses up the user's quota of keys, runs a program, and ends; the keys end with it.
func fill(args []string) error {
	if err := join(); err != nil {
		return err
	}
	for size, i := 16000, 0; size > 0; i++ {
		_, err := unix.AddKey("user", fmt.Sprint("hosttest:", i), make([]byte, size), unix.KEY_SPEC_SESSION_KEYRING)
		switch {
		case errors.Is(err, unix.EDQUOT):
			size /= 2
		case err != nil:
			return err
		}
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}
