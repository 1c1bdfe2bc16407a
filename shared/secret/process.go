package secret

import (
	"io"
	"log" //nolint:depguard // it is silenced here

	"golang.org/x/sys/unix"
)

// ProtectProcess keeps values out of core dumps and of the reach of other processes of the same user: no core file, no
// ptrace, no /proc/PID/mem. It also silences the standard logger: nothing here uses it, and net/http writes to it what a
// server sends besides its answers, which may be the credential that the server was given. Call it first in main.
//
// This is a second line. It does not keep anything from root. What the runtime prints for a signal such as SIGQUIT stays:
// it has addresses and no text, and debug.SetTraceback cannot take away from what GOTRACEBACK or its default asks for.
func ProtectProcess() {
	// Both calls always succeed for one's own process; where a sandbox forbids them there is nothing else to do.
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	log.SetOutput(io.Discard)
}
