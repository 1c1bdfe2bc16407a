package rig

import (
	"errors"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

// withoutInstalled is set in the environment of a process that HideInstalled has started again.
const withoutInstalled = "SECRETREF_TEST_WITHOUT_INSTALLED"

const hideInstalled = `set -e
hidden=$(mktemp -d)
mount -t tmpfs tmpfs "$hidden"
mkdir "$hidden/upper" "$hidden/work"
mknod "$hidden/upper/docker-credential-secretref" c 0 0
mount -t overlay -o "lowerdir=/usr/bin,upperdir=$hidden/upper,workdir=$hidden/work" overlay /usr/bin
umount -l "$hidden"
rmdir "$hidden"
[ ! -d /etc/secretref ] || mount -t tmpfs -o mode=755 tmpfs /etc/secretref
exec "$@"`

// HideInstalled is for the TestMain of a package whose tests run the helper without a configuration of their own, or look for it in PATH.
// Where secretref is installed on this machine, and the test is root's, it starts the process again in a mount namespace without
// the helper in /usr/bin and without /etc/secretref. Elsewhere it does nothing.
func HideInstalled() error {
	if os.Getenv(withoutInstalled) != "" {
		return os.Unsetenv(withoutInstalled)
	}
	_, config := os.Stat("/etc/secretref")
	_, program := os.Stat("/usr/bin/docker-credential-secretref")
	if os.Getuid() != 0 || config != nil && program != nil {
		return nil
	}
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := append([]string{unshare, "--mount", "--propagation", "private", "/bin/sh", "-c", hideInstalled, "sh", self}, os.Args[1:]...)
	return errors.Join(errors.New("start the tests without the secretref of this machine"), unix.Exec(unshare, args, append(os.Environ(), withoutInstalled+"=1")))
}
