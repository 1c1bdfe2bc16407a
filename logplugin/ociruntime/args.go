package ociruntime

import (
	"slices"
	"strings"

	"github.com/secretref/secretref/logplugin/ociruntime/ask"
)

// call is one call of the container runtime, as containerd's shim makes it.
type call struct {
	args    []string // for the runtime behind, as they came
	command string   // "" = none
	rest    int      // index in args of what follows the command

	own options
	log string // file of --log, into which errors go
	// root is the directory of --root, where the runtime keeps its containers.
	root string
}

// options are this program's own: they stand before those of the runtime, as runtimeArgs of daemon.json puts them.
type options struct {
	runtime    string // that does the work
	socket     string // of the service
	volumesDir string // below which the volumes of secretref-files lie
}

// withValue are the options of runc, crun and their like before the command that have a value in the next argument.
var withValue = []string{"root", "log", "log-format", "criu", "rootless", "cgroup-manager", "debug-log"}

// parse reads args, without the program's name.
func parse(args []string) call {
	c := call{root: "/run/runc", own: options{runtime: "runc", socket: ask.Socket, volumesDir: "/run/secretref/volumes"}}
	own := map[string]*string{"runtime": &c.own.runtime, "socket": &c.own.socket, "volumes-dir": &c.own.volumesDir}
	for len(args) > 0 {
		name, value, n := option(args, nil)
		to := own[name]
		if n == 0 || to == nil {
			break
		}
		if n == 1 && value == "" && len(args) > 1 { // --runtime NAME
			value, n = args[1], 2
		}
		*to, args = value, args[n:]
	}
	c.args = args
	for i := 0; i < len(args); {
		name, value, n := option(args[i:], withValue)
		if n == 0 {
			c.command, c.rest = args[i], i+1
			break
		}
		switch name {
		case "root":
			c.root = value
		case "log":
			c.log = value
		}
		i += n
	}
	return c
}

// option reads the option that args begin with. n is how many arguments it takes, 0 when they do not begin with one. The options in
// withValue have their value in the argument after them, unless it is joined by =.
func option(args []string, withValue []string) (name, value string, n int) {
	if len(args[0]) < 2 || args[0][0] != '-' {
		return "", "", 0
	}
	name, value, joined := strings.Cut(strings.TrimLeft(args[0], "-"), "=")
	if !joined && slices.Contains(withValue, name) && len(args) > 1 {
		return name, args[1], 2
	}
	return name, value, 1
}

// find returns the index in c.args of the value of an option of the command, and what stands there before it ("--bundle=" or nothing).
func (c call) find(long, short string) (at int, prefix string) {
	for i := c.rest; i < len(c.args); i++ {
		name, _, joined := strings.Cut(strings.TrimLeft(c.args[i], "-"), "=")
		if !strings.HasPrefix(c.args[i], "-") || name != long && name != short {
			continue
		}
		if joined {
			return i, c.args[i][:strings.IndexByte(c.args[i], '=')+1]
		}
		if i+1 < len(c.args) {
			return i + 1, ""
		}
	}
	return -1, ""
}

// value returns the value of an option of the command.
func (c call) value(long, short, byDefault string) string {
	at, prefix := c.find(long, short)
	if at < 0 {
		return byDefault
	}
	return strings.TrimPrefix(c.args[at], prefix)
}

// id returns the container's id: the last argument of create, run, and exec with --process.
func (c call) id() string {
	if len(c.args) <= c.rest {
		return ""
	}
	return c.args[len(c.args)-1]
}
