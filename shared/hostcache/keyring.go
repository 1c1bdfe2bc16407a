package hostcache

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// The keys lie in @u, the keyring of the user: all sessions of a uid have it in common, sudo and system services included.
const (
	keyType = "user"

	// keyPerm gives all rights to the possessor and to the user. The default gives them to the possessor alone, and a
	// session that is not linked to @u (any system service: KeyringMode=private) does not possess what is in there: it
	// would find the key and not be allowed to read it. Other uids get nothing.
	keyPerm = 0x3f3f0000
)

func description(id string) string { return "secretref:" + id }

// probeKeyring asks for @u, which is there for every process, unless keyctl is not: the default seccomp profile of Docker
// answers EPERM or ENOSYS.
func probeKeyring() error {
	if _, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_USER_KEYRING, true); err != nil {
		return keyringError(err)
	}
	return nil
}

// readKey reads the key of an entry. It is false for a key that is gone, expired, revoked, or of an odd size.
func readKey(id string, key *[keySize]byte) bool {
	serial, err := unix.KeyctlSearch(unix.KEY_SPEC_USER_KEYRING, keyType, description(id), 0)
	if err != nil {
		return false
	}
	n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, serial, key[:], 0)
	return err == nil && n == keySize
}

// putKey puts key into @u, in place of the one that the entry had, and has the kernel drop it after life.
//
// The key is made, limited and opened to the user in a keyring of this thread alone, and only then linked into @u: there
// is no moment at which a key without an end lies there, not even for a process that is killed here. The thread is not
// used again, so that its keyring goes with it; a process keyring would be no better, because in a process that
// already has threads the kernel gives one to each of them that asks.
func putKey(id string, key []byte, life time.Duration) (serial int, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		serial, err = putKeyFromThread(id, key, life)
	}()
	<-done
	return serial, err
}

func putKeyFromThread(id string, key []byte, life time.Duration) (int, error) {
	serial, err := unix.AddKey(keyType, description(id), key, unix.KEY_SPEC_THREAD_KEYRING)
	if err != nil {
		return 0, keyringError(err)
	}
	// The main thread outlives its goroutine, and would keep a key that has been replaced in @u until it expires.
	defer unix.KeyctlInt(unix.KEYCTL_UNLINK, serial, unix.KEY_SPEC_THREAD_KEYRING, 0, 0) //nolint:errcheck // it expires
	if _, err := unix.KeyctlInt(unix.KEYCTL_SET_TIMEOUT, serial, seconds(life), 0, 0); err != nil {
		return 0, keyringError(err)
	}
	if err := unix.KeyctlSetperm(serial, keyPerm); err != nil {
		return 0, keyringError(err)
	}
	if _, err := unix.KeyctlInt(unix.KEYCTL_LINK, serial, unix.KEY_SPEC_USER_KEYRING, 0, 0); err != nil {
		return 0, keyringError(err)
	}
	return serial, nil
}

// seconds rounds up, and adds a second: the kernel counts from the full second that has begun, so it would be up to a second
// early. The entry tells its end to the nanosecond itself; the kernel's clock is there to erase it.
func seconds(d time.Duration) int {
	return int(min(d/time.Second+2, math.MaxInt32))
}

// dropKey makes the kernel forget an entry's key at once, for every process that holds it.
func dropKey(id string) {
	if serial, err := unix.KeyctlSearch(unix.KEY_SPEC_USER_KEYRING, keyType, description(id), 0); err == nil {
		invalidate(serial)
	}
}

func invalidate(serial int) {
	_, _ = unix.KeyctlInt(unix.KEYCTL_INVALIDATE, serial, 0, 0, 0)
}

// hasKey reports whether the kernel still has an entry's key.
func hasKey(id string) bool {
	_, err := unix.KeyctlSearch(unix.KEY_SPEC_USER_KEYRING, keyType, description(id), 0)
	return err == nil
}

func keyringError(err error) error {
	switch {
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM):
		return fmt.Errorf("no kernel keyring: keyctl or add_key is not allowed here, as in most containers: %w", err)
	case errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("the kernel keyring of this user is full (see /proc/key-users; kernel.keys.maxkeys, maxbytes): %w", err)
	}
	return fmt.Errorf("kernel keyring: %w", err)
}
