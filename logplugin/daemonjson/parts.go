package daemonjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// dialTimeout is for the socket, on which systemd or the service listens.
const dialTimeout = 5 * time.Second

// canStart checks that containers, and the daemon, would start with the entry. All that is wrong is in one line.
func (o Options) canStart() error {
	var wrong []string
	for _, check := range []func() error{o.programIsThere, o.socketAnswers, o.noFlags} {
		if err := check(); err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "; and "))
	}
	return nil
}

// programIsThere checks the file that the daemon would run as root for every container.
func (o Options) programIsThere() error {
	st, err := os.Stat(o.Program)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the program %s is not there, and no container would start; install it beside secretref-logdriver", o.Program)
	case err != nil:
		return err
	case !st.Mode().IsRegular() || st.Mode()&0o111 == 0:
		return fmt.Errorf("%s has the mode %v and cannot be executed; chmod 755 %s", o.Program, st.Mode(), o.Program)
	case st.Mode()&0o022 != 0:
		return fmt.Errorf("%s has the mode %v: others than its owner can change what root runs; chmod 755 %s", o.Program, st.Mode(), o.Program)
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok && sys.Uid != 0 && int(sys.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to uid %d, who can change what root runs; chown root %s", o.Program, sys.Uid, o.Program)
	}
	return nil
}

// socketAnswers checks that somebody listens on the socket of the service.
func (o Options) socketAnswers() error {
	c, err := net.DialTimeout("unix", o.Socket, dialTimeout)
	if err != nil {
		var call *os.SyscallError
		if errors.As(err, &call) {
			err = call.Err
		}
		return fmt.Errorf("the socket %s of the service: %w; stop secretref-logdriver.service, systemctl enable --now secretref-runtime.socket, and start the service again", o.Socket, err)
	}
	return c.Close()
}

// maxCommandLine bounds what is read of a command line, in bytes.
const maxCommandLine = 128 << 10

// noFlags checks that no running daemon with this file has runtimes on its command line: it takes them from one of the two places.
func (o Options) noFlags() error {
	proc := o.Proc
	if proc == "" {
		proc = "/proc"
	}
	lines, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "cmdline"))
	if err != nil {
		return err
	}
	for _, line := range lines {
		if flag := o.flagOf(line); flag != "" {
			return fmt.Errorf("the Docker daemon runs with the option --%s, and does not start again when %s has %s too; move what the option says into that file first", flag, o.File, flagKeys[flag])
		}
	}
	return nil
}

// flagKeys are the options of dockerd that exclude a key of daemon.json.
var flagKeys = map[string]string{"add-runtime": runtimesKey, "default-runtime": defaultKey}

// flagOf returns the option by which a process, if it is a daemon with this file, excludes what is to be written; "" means none.
func (o Options) flagOf(commandLine string) (found string) {
	f, err := os.Open(commandLine)
	if err != nil {
		return "" // it has ended
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxCommandLine))
	if err != nil {
		return ""
	}
	args := strings.Split(string(bytes.TrimRight(b, "\x00")), "\x00")
	if filepath.Base(args[0]) != "dockerd" {
		return ""
	}
	file := Path
	for i, arg := range args {
		name, value, joined := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if !joined && i+1 < len(args) {
			value = args[i+1]
		}
		switch {
		case name == "config-file":
			file = value
		case name == "add-runtime", name == "default-runtime" && o.Default:
			found = name
		}
	}
	if filepath.Clean(file) != filepath.Clean(o.File) {
		return ""
	}
	return found
}
