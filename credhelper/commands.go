package credhelper

import (
	"errors"
	"fmt"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker-credential-helpers/credentials"

	"github.com/secretref/secretref/credhelper/configure"
	"github.com/secretref/secretref/shared/config"
)

// option is one flag of a command. arg names its value; "" for a flag without one.
type option struct{ name, arg, help string }

// command is what --help says of a command, and what its command line may hold.
type command struct {
	name, args, help string
	options          []option
}

// commands is the list of them, in the order of --help.
func commands() []command {
	const stdin = "\nThe client writes the server URL to standard input."
	look := []option{
		{"user", "NAME", "look at the configuration of this user's clients, not your own"},
		{"config", "DIR", "directory of Docker's config.json, as in docker --config"},
		{"json", "", "print one JSON object"},
	}
	return []command{
		{"get", "", "Print user name and password of a registry as a JSON object." + stdin, nil},
		{"store", "", "Succeed when the credentials are the ones that the reference gives; otherwise say which secret to change.\nThe client writes a JSON object to standard input.", nil},
		{"erase", "", "Drop the cached value, so that the next get asks AWS." + stdin, nil},
		{actionKubelet, "", "Answer the kubelet, as an image credential provider of version credentialprovider.kubelet.k8s.io/v1.\nThe kubelet writes a JSON object to standard input.", nil},
		{"list", "", "Print the hosts that the configuration names, without asking AWS.", nil},
		{
			"check", "[HOST ...]", "Resolve every mapping, or those of the hosts, for real, look whether clients ask this helper for them, and explain\nfailures. No value is printed.",
			append(look, option{"no-clients", "", "do not look at the configuration of clients"}),
		},
		{"explain", "HOST", "Say which rule answers for a host, with which credentials, and which clients ask this helper for it, from files alone:\nno service is called. No value is printed.", look},
		{
			"configure", "docker|podman", "Write this helper into the configuration of docker, or of podman, skopeo and buildah.",
			[]option{
				{"all", "", "every host: credsStore for docker, credential-helpers for podman"},
				{"undo", "", "take out what configure has written"},
				{"dry-run", "", "only say what would change"},
			},
		},
		{"iam-policy", "", "Print the IAM policy that the registries of the configuration need.", []option{{"format", "FORMAT", "json, terraform or cloudformation; default: json"}}},
		{"version", "", "Print the version.", nil},
		{"help", "", "Print the commands.", nil},
	}
}

// findCommand returns a command by its name.
func findCommand(name string) (command, bool) {
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == name })
	if i < 0 {
		return command{}, false
	}
	return all[i], true
}

// usage is the help of one command.
func (c command) usage() string {
	var b strings.Builder
	b.WriteString("Usage: " + Name + " " + c.name)
	if len(c.options) > 0 {
		b.WriteString(" [OPTION ...]")
	}
	if c.args != "" {
		b.WriteString(" " + c.args)
	}
	b.WriteString("\n\n" + c.help + "\n")
	if len(c.options) > 0 {
		b.WriteString("\nOptions:\n")
	}
	for _, o := range c.options {
		fmt.Fprintf(&b, "  %-18s %s\n", strings.TrimSpace("--"+o.name+" "+o.arg), o.help)
	}
	return b.String()
}

// wantsHelp reports whether the arguments ask for the command's help.
func wantsHelp(args []string) bool {
	return slices.ContainsFunc(args, func(a string) bool { return a == "--help" || a == "-help" || a == "-h" })
}

// parse divides a command line into options and the rest. An option may have one dash or two.
func (c command) parse(args []string) (given map[string]string, rest []string, err error) {
	given = map[string]string{}
	for len(args) > 0 {
		a := args[0]
		args = args[1:]
		if a == "--" {
			return given, append(rest, args...), nil
		}
		if !strings.HasPrefix(a, "-") || a == "-" {
			rest = append(rest, a)
			continue
		}
		name, value, inline := strings.Cut(strings.TrimLeft(a, "-"), "=")
		i := slices.IndexFunc(c.options, func(o option) bool { return o.name == name })
		switch {
		case i < 0:
			return nil, nil, c.misused("unknown option " + printable("--"+name) + didYouMean("--", name, c.names()))
		case c.options[i].arg == "" && inline:
			return nil, nil, c.misused("option --" + name + " takes no value")
		case c.options[i].arg != "" && !inline:
			if len(args) == 0 {
				return nil, nil, c.misused("option --" + name + " needs a value: --" + name + " " + c.options[i].arg)
			}
			value, args = args[0], args[1:]
		}
		if _, twice := given[name]; twice {
			return nil, nil, c.misused("option --" + name + " is given twice")
		}
		if c.options[i].arg != "" && value == "" {
			return nil, nil, c.misused("option --" + name + " has an empty value")
		}
		given[name] = value
	}
	return given, rest, nil
}

func (c command) names() []string {
	var names []string
	for _, o := range c.options {
		names = append(names, o.name)
	}
	return names
}

var errUsage = errors.New("the command line is not understood")

// misuse is an error that names a mistake of the command line; its status is exitUsage.
type misuse struct{ text string }

func (m misuse) Error() string      { return m.text }
func (misuse) Is(target error) bool { return target == errUsage }

func (c command) misused(text string) error {
	return misuse{c.name + ": " + text + see(text, c.name+" ")}
}

// see says where to read on, after a text that may be a question.
func see(text, command string) string {
	if strings.HasSuffix(text, "?") {
		return " See " + Name + " " + command + "--help"
	}
	return "; see " + Name + " " + command + "--help"
}

// didYouMean names what may have been meant.
func didYouMean(prefix, name string, known []string) string {
	if near := config.Nearest(name, known); near != "" {
		return "; did you mean " + prefix + near + "?"
	}
	return ""
}

// printable is a word of the command line for an error. What may be a URL with a password is not repeated.
func printable(word string) string {
	if strings.Contains(word, "@") {
		return "(not shown)"
	}
	return strconv.Quote(word[:min(len(word), 100)])
}

// unknownCommand is the error for a command that there is not.
func unknownCommand(name string) error {
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	text := "unknown command " + printable(name) + didYouMean("", name, names)
	return misuse{text + see(text, "")}
}

// lookAt is whose configuration check and explain look at.
type lookAt struct {
	configure.User
	json, noClients bool
	paths           config.Options
}

// lookAt reads the options that check and explain share.
func (p Program) lookAt(given map[string]string) (lookAt, error) {
	_, asJSON := given["json"]
	_, none := given["no-clients"]
	l := lookAt{User: configure.User{UID: p.euid(), Getenv: p.Getenv}, json: asJSON, noClients: none}
	if name, ok := given["user"]; ok {
		u, err := user.Lookup(name)
		if err != nil {
			return l, fmt.Errorf("option --user: no user %s on this host; name one that getent passwd lists", printable(name))
		}
		if l.UID, err = strconv.Atoi(u.Uid); err != nil {
			return l, fmt.Errorf("option --user: user %s has the id %q, which is not a number", name, u.Uid)
		}
		theirs := map[string]string{"HOME": u.HomeDir, "XDG_RUNTIME_DIR": "/run/user/" + u.Uid, "DOCKER_CONFIG": "", "XDG_CONFIG_HOME": "", "REGISTRY_AUTH_FILE": ""}
		l.Getenv = overlay(l.Getenv, theirs)
	}
	if dir, ok := given["config"]; ok {
		l.Getenv = overlay(l.Getenv, map[string]string{"DOCKER_CONFIG": dir})
	}
	l.paths = config.Paths(l.Getenv)
	l.paths.EUID = l.UID
	return l, nil
}

func overlay(getenv func(string) string, over map[string]string) func(string) string {
	return func(name string) string {
		if v, ok := over[name]; ok {
			return v
		}
		return getenv(name)
	}
}

// isProtocol reports whether clients, not people, run a command.
func isProtocol(name string) bool {
	switch name {
	case credentials.ActionGet, credentials.ActionStore, credentials.ActionErase, credentials.ActionList, actionKubelet:
		return true
	}
	return false
}
