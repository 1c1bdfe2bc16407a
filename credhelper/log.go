package credhelper

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/docker/docker-credential-helpers/credentials"

	"github.com/secretref/secretref/credhelper/notice"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/hostcache"
	"github.com/secretref/secretref/shared/registryhost"
)

// Variables that say what the program writes beside its answer.
const (
	syslogVar = "SECRETREF_SYSLOG" // "off" = no failures; or the path of another syslog socket
	debugVar  = "SECRETREF_DEBUG"  // "1": decisions to standard error
)

// quiet is how long no second line about one registry goes to the log of the host.
const quiet = time.Minute

// log reports a failure to the log of the host: clients often hide what this program says. It is the text that the client
// gets, so it holds no value.
func (p Program) log(action, registry string, err error) {
	if p.Getenv(syslogVar) == "off" || credentials.IsErrCredentialsNotFound(err) {
		return
	}
	if !hostcache.Once(hostcache.Options{}, registry, quiet) {
		return
	}
	notice.Send(SyslogSocket(p.Getenv), notice.Line{Program: Name, Action: action, Registry: registry, Text: fault.OneLine(strings.TrimSpace(err.Error()))})
}

// SyslogSocket returns the syslog socket that the environment names; "" = the log of the host.
func SyslogSocket(getenv func(string) string) string {
	if path := getenv(syslogVar); filepath.IsAbs(path) {
		return path
	}
	return ""
}

// registryOf returns the registry that the input of an action names, "" when it is not a registry.
func registryOf(action string, input []byte) string {
	server := string(input)
	if action == credentials.ActionStore {
		var c struct{ ServerURL string }
		if json.Unmarshal(input, &c) != nil {
			return ""
		}
		server = c.ServerURL
	}
	if action == actionKubelet {
		image, err := kubeletImage(input)
		if err != nil {
			return ""
		}
		server = image
	}
	name, err := registryhost.Normalize(server)
	if err != nil {
		return ""
	}
	return name.Host
}

// debugs reports whether decisions are wanted.
func (p Program) debugs() bool { return p.Getenv(debugVar) == "1" }

// debug writes a decision to standard error. No text holds a value.
func (p Program) debug(text string) { fmt.Fprintln(p.Stderr, Name+": debug: "+fault.OneLine(text)) }
