// Package registryhost brings the many spellings of a registry to one, and matches it against the keys of
// `[registries."…"]`.
//
// Use Normalize for what a Docker client writes to a credential helper, ParsePattern for what an administrator writes
// into the configuration. Both promise that two texts which mean one registry give one value, and that this value,
// printed and read again, is itself. Both refuse what could be read in two ways. No error repeats user info.
//
// The package is on the path of every docker pull: it needs nothing but the standard library and no initialisation.
package registryhost

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

const (
	// Hub is the canonical host of Docker Hub.
	Hub = "docker.io"
	// HubKey is the server URL under which Docker's own configuration file and CLI keep Docker Hub.
	HubKey = "https://index.docker.io/v1/"
)

// The longest server URL that is looked at, in bytes. A host has at most 253.
const maxLen = 1024

// ErrNotRegistry says that the text is a well-formed key of something else than a registry: another scheme, or one of
// the two keys under which `docker login` keeps its own Docker Hub tokens. The answer to it is "not found": these keys
// must never be given a registry's password.
var ErrNotRegistry = errors.New("not the address of a registry")

var errUserInfo = errors.New("registry address has user info in it; leave out what stands before the @")

// Name is a registry, and perhaps a repository of it, in canonical form. It is comparable.
type Name struct {
	Host string // lower case; ":port" unless it is the scheme's own; IPv6 in brackets; "docker.io" for all of Docker Hub
	Path string // "" or repository path without slash at either end; most clients send none
}

// String returns HOST or HOST/PATH.
func (n Name) String() string {
	if n.Path == "" {
		return n.Host
	}
	return n.Host + "/" + n.Path
}

// Normalize reads a server URL as the clients send it: a bare host, host:port, host/path or an http(s) URL, with white
// space around it. An error is ErrNotRegistry, or says what is wrong with the text.
func Normalize(serverURL string) (Name, error) {
	n, err := parse(serverURL, false)
	if err != nil {
		return Name{}, err
	}
	return n, nil
}

// parse is the grammar that server URLs and patterns share. A pattern may have labels that are `*` in its host, and has
// no query: in a server URL that is only what a client happened to append.
func parse(raw string, pattern bool) (Name, error) {
	s := strings.TrimSpace(raw)
	switch {
	case s == "":
		return Name{}, errors.New("registry address is empty")
	case len(s) > maxLen:
		return Name{}, fmt.Errorf("registry address has %d bytes, more than %d", len(s), maxLen)
	}
	if err := checkCharacters(s, raw); err != nil {
		return Name{}, err
	}

	s, plain, err := cutScheme(s)
	if err != nil {
		return Name{}, err
	}
	if i := strings.IndexAny(s, "?#"); i >= 0 {
		if pattern {
			return Name{}, refuse(raw, "has a query or a fragment")
		}
		s = s[:i]
	}
	// Also past the first slash: a password may hold one, and would be taken for host and path.
	if pattern && strings.Contains(s, "@sha256:") {
		return Name{}, errors.New("registry address has a digest; write the registry or the repository alone")
	}
	if strings.Contains(s, "@") {
		return Name{}, errUserInfo
	}
	if strings.Contains(s, "..") {
		return Name{}, refuse(raw, `has ".." in it`)
	}

	authority, path, _ := strings.Cut(s, "/")
	host, port, err := splitPort(authority)
	if err != nil {
		return Name{}, refuse(raw, err.Error())
	}
	if host, err = canonicalHost(host, pattern); err != nil {
		return Name{}, refuse(raw, err.Error())
	}
	if path, err = canonicalPath(path); err != nil {
		return Name{}, refuse(raw, err.Error())
	}
	if pattern && strings.Contains(path, ":") {
		return Name{}, refuse(raw, "has a tag; write the registry or the repository alone")
	}
	// 443 goes with any scheme: nerdctl asks for http://HOST:443 too, and means the same registry.
	if port != 0 && port != 443 && !(plain && port == 80) {
		host += ":" + strconv.Itoa(port)
	}
	if isHub(host) {
		host = Hub
		if path == "v1/access-token" || path == "v1/refresh-token" {
			return Name{}, notRegistry(raw)
		}
	}
	if path == "v1" || path == "v2" { // the root of the registry API, not a repository
		path = ""
	}
	return Name{host, path}, nil
}

// checkCharacters refuses what no address holds; raw is s as it was given.
func checkCharacters(s, raw string) error {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return refuse(raw, "has a blank or a control character inside")
		}
		if s[i] > 0x7f {
			return refuse(raw, "has a character outside ASCII; write an international host name in its xn-- form")
		}
	}
	return nil
}

// cutScheme returns s without scheme and the slashes after it, and whether the scheme is plain http.
func cutScheme(s string) (rest string, plain bool, err error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || strings.ContainsAny(scheme, "/?#") {
		return strings.TrimPrefix(s, "//"), false, nil
	}
	switch strings.ToLower(scheme) {
	case "https":
		return rest, false, nil
	case "http":
		return rest, true, nil
	}
	return "", false, notRegistry(s)
}

// notRegistry is ErrNotRegistry unless user info may be in raw: callers repeat the text of an address that is not one of a registry.
func notRegistry(raw string) error {
	if strings.Contains(raw, "@") {
		return errUserInfo
	}
	return ErrNotRegistry
}

func isHub(host string) bool {
	switch host {
	case Hub, "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com":
		return true
	}
	return false
}

// splitPort returns the port as a number, 0 when there is none.
func splitPort(authority string) (host string, port int, err error) {
	var digits string
	var found bool
	if strings.HasPrefix(authority, "[") {
		end := strings.IndexByte(authority, ']')
		if end < 0 {
			return "", 0, errors.New("has a bracket that is not closed")
		}
		host, digits = authority[:end+1], authority[end+1:]
		if digits, found = strings.CutPrefix(digits, ":"); !found && digits != "" {
			return "", 0, errors.New("has text between the closing bracket and the port")
		}
	} else {
		host, digits, found = strings.Cut(authority, ":")
		if strings.Contains(digits, ":") {
			return "", 0, errors.New("has more than one colon in its host; an IPv6 address stands in brackets")
		}
	}
	if !found {
		return host, 0, nil
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 {
		return "", 0, errors.New("has a port that is not a number from 1 to 65535")
	}
	return host, int(n), nil
}

func canonicalHost(host string, wildcards bool) (string, error) {
	if strings.HasPrefix(host, "[") {
		a, err := netip.ParseAddr(host[1 : len(host)-1])
		if err != nil || !a.Is6() || a.Zone() != "" {
			return "", errors.New("has something else than an IPv6 address (without zone) in brackets")
		}
		return "[" + a.String() + "]", nil
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "" {
		return "", errors.New("has no host")
	}
	if len(host) > 253 {
		return "", errors.New("has a host of more than 253 bytes")
	}
	for rest, more := host, true; more; {
		var label string
		label, rest, more = strings.Cut(rest, ".")
		if err := checkLabel(label, wildcards); err != nil {
			return "", err
		}
	}
	return host, nil
}

func checkLabel(label string, wildcards bool) error {
	switch {
	case label == "":
		return errors.New("has an empty label in its host")
	case len(label) > 63:
		return errors.New("has a label of more than 63 bytes in its host")
	case wildcards && label == "*":
		return nil
	case wildcards && strings.Contains(label, "*"):
		return errors.New("has a * that is not a whole label; write *.example.com")
	}
	for i := range len(label) {
		// Host names of the DNS have no underscore, but names of containers have it and resolve.
		if c := label[i]; !isAlnum(c) && c != '-' && c != '_' {
			return fmt.Errorf("has the character %q in its host", c)
		}
	}
	return nil
}

// canonicalPath drops empty segments, so that slashes at the ends or doubled mean nothing.
func canonicalPath(path string) (string, error) {
	var segments []string
	for seg := range strings.SplitSeq(path, "/") {
		if seg == "" {
			continue
		}
		if seg == "." {
			return "", errors.New(`has the segment "." in its path`)
		}
		for i := range len(seg) {
			if c := seg[i]; !isAlnum(c) && strings.IndexByte("._-+~:=,", c) < 0 {
				return "", fmt.Errorf("has the character %q in its path", c)
			}
		}
		segments = append(segments, seg)
	}
	return strings.Join(segments, "/"), nil
}

func isAlnum(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || isDigit(c) }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// refuse builds an error about raw, which it repeats only when no user info can be in it.
func refuse(raw, why string) error {
	const shown = 100
	if strings.Contains(raw, "@") {
		return errors.New("registry address " + why)
	}
	if len(raw) > shown {
		return fmt.Errorf("registry address %q... %s", raw[:shown], why)
	}
	return fmt.Errorf("registry address %q %s", raw, why)
}
