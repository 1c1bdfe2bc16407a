package secret

import (
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// ProtectProcess keeps values out of core dumps and of the reach of other processes of the same user: no core file, no
// ptrace, no /proc/PID/mem. It tells the runtime to print no stack for a fault. Call it first in main.
//
// This is a second line. It does not keep anything from root.
func ProtectProcess() {
	// Both calls always succeed for one's own process; where a sandbox forbids them there is nothing else to do.
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	debug.SetTraceback("none")
}
