package router

import (
	"errors"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Address is where a receiver listens.
type Address struct {
	Scheme string
	Host   string // as it was written, without brackets
	Port   string // never empty, but for unix and unixgram
	Path   string // of a URL whose form allows one, without a slash at its end; of a socket in the file system
	Query  string // of a URL whose form allows one, without the question mark
	// NoPort says that the address was written without a port: Port is the scheme's.
	NoPort bool
	// ARN is set of what has no address of its own: a resource of AWS. Its region and its account are empty while they are
	// not known. All other fields are empty then.
	ARN string
}

// IsFile reports whether addresses with the scheme name a socket in the file system.
func IsFile(scheme string) bool { return scheme == "unix" || scheme == "unixgram" }

// ErrAccountUnknown says that it depends on the region or the account of an ARN, one of which is not known yet, whether lines may
// be sent there. It is in the chain of what Options.Allow returns.
var ErrAccountUnknown = errors.New("it is not known yet in which account of AWS the destination is")

// String returns scheme://host:port in small letters, or unix:///path, or an ARN. This is what allow_routers is about.
func (a Address) String() string {
	if a.ARN != "" {
		return a.ARN
	}
	if IsFile(a.Scheme) {
		return a.Scheme + "://" + a.Path
	}
	return a.Scheme + "://" + net.JoinHostPort(strings.TrimSuffix(strings.ToLower(a.Host), "."), a.Port)
}

// Base returns scheme://host:port as it was written, with no port where none was written, or unix:///path.
func (a Address) Base() string {
	if IsFile(a.Scheme) {
		return a.String()
	}
	host := a.HostPort()
	if a.NoPort {
		if host = a.Host; strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
	}
	return a.Scheme + "://" + host
}

// HostPort returns what net.Dial takes.
func (a Address) HostPort() string { return net.JoinHostPort(a.Host, a.Port) }

// AddressForm says how an option that holds a whole address is written.
type AddressForm struct {
	Option  string
	Default string            // the address when the option is not given
	Scheme  string            // of an address that has none; "" means that it must have one
	Ports   map[string]string // as in Kind
	Path    bool              // a URL may have a path
	Query   bool              // a URL may have a query
	List    bool              // there may be several, with commas between them
	Example string            // for errors
}

// Kind returns k with the addresses of this one option.
func (f AddressForm) Kind(k Kind) Kind {
	k.Ports = f.Ports
	k.Addresses = func(v *Values) []Address {
		if v.Waits(f.Option) {
			return nil
		}
		return v.AddressList(f)
	}
	return k
}

// maxAddresses bounds a list of them.
const maxAddresses = 16

// AddressList reads the option of f, which is one address, or several if f is a list. It returns at least one.
func (v *Values) AddressList(f AddressForm) []Address {
	if !f.List || v.Waits(f.Option) {
		return []Address{v.Address(f)}
	}
	var all []Address
	for _, text := range f.split(v.String(f.Option, "")) {
		a, err := f.read(strings.TrimSpace(text), !v.IsSecret(f.Option))
		switch {
		case err != nil:
			v.fail("log-opt %s: %w", f.Option, err)
		case slices.ContainsFunc(all, func(b Address) bool { return a.String() == b.String() }):
			v.fail("log-opt %s: the same address is given twice", f.Option)
		case len(all) == maxAddresses:
			v.fail("log-opt %s: there are more than %d addresses", f.Option, maxAddresses)
		}
		all = append(all, a)
	}
	if len(all) > 1 && !f.Path && !f.Query && strings.Contains(","+strings.ReplaceAll(v.String(f.Option, ""), " ", "")+",", ",,") {
		v.fail("log-opt %s: there is nothing between two commas", f.Option)
	}
	return all
}

// split returns the addresses of a list. In a URL with a path, and in the path of a socket, there may be commas too: those count that
// stand before a scheme.
func (f AddressForm) split(text string) (all []string) {
	all = strings.Split(text, ",")
	parts := all[:0]
	commas := f.Path || f.Query // may stand in the address before
	for _, part := range all {
		scheme, _, ok := strings.Cut(strings.TrimSpace(part), "://")
		if _, known := f.Ports[scheme]; len(parts) > 0 && commas && !(ok && known) {
			parts[len(parts)-1] += "," + part
			continue
		}
		commas = f.Path || f.Query || ok && IsFile(scheme)
		parts = append(parts, part)
	}
	return parts
}

// Address reads the option of f. An error shows nothing of the text but a host and its port that was written out.
func (v *Values) Address(f AddressForm) Address {
	if v.Waits(f.Option) {
		return Address{}
	}
	a, err := f.read(v.String(f.Option, ""), !v.IsSecret(f.Option))
	if err != nil {
		v.fail("log-opt %s: %w", f.Option, err)
	}
	return a
}

// Parse reads an address that is not the text of an option, but was made of one. Its error shows nothing of it.
func (f AddressForm) Parse(text string) (Address, error) { return f.read(text, false) }

func (f AddressForm) read(text string, show bool) (Address, error) {
	if text == "" {
		text = f.Default
	}
	wrong := func(what string) (Address, error) { return Address{}, errors.New(what + "; write " + f.Example) }
	switch {
	case f.lacksSlashes(text):
		return wrong("its scheme does not end with ://")
	case f.Scheme != "" && !strings.Contains(text, "://"):
		text = f.Scheme + "://" + text
	case bareAddress.MatchString(text) && show && f.Ports["https"] != "":
		return Address{}, errors.New("it has no scheme; write https://" + text)
	case bareAddress.MatchString(text):
		return wrong("it has no scheme")
	}
	u, err := url.Parse(text) // its error quotes the text
	if err != nil || u.Opaque != "" || strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' }) {
		return wrong("it is not a valid address")
	}
	port, known := f.Ports[u.Scheme]
	switch {
	case !known:
		return wrong("its scheme is not one of " + strings.Join(slices.Sorted(maps.Keys(f.Ports)), ", "))
	case u.User != nil:
		return Address{}, errors.New("there is a user name in it; give credentials as options of their own")
	case (u.RawQuery != "" || u.ForceQuery) && !f.Query, u.Fragment != "":
		return wrong("there is a query or a fragment in it")
	case IsFile(u.Scheme) && u.Host == "" && strings.Trim(u.Path, "/") != "":
		return Address{Scheme: u.Scheme, Path: u.Path}, nil
	case IsFile(u.Scheme):
		return wrong("it does not name a socket")
	case u.Hostname() == "":
		return wrong("it names no host")
	case strings.Trim(u.Path, "/") != "" && !f.Path:
		return wrong("there is more than the address of a host in it")
	}
	a := Address{Scheme: u.Scheme, Host: u.Hostname(), Port: port, NoPort: u.Port() == "", Path: strings.TrimRight(u.EscapedPath(), "/"), Query: u.RawQuery}
	if !a.NoPort {
		a.Port = u.Port()
	}
	if n, err := strconv.ParseUint(a.Port, 10, 16); err != nil || n == 0 {
		return wrong("its port is not a number from 1 to 65535")
	}
	return a, nil
}

// lacksSlashes reports whether text begins with a scheme without its :// in full, as in https:/ or https//.
func (f AddressForm) lacksSlashes(text string) bool {
	for scheme := range f.Ports {
		rest, ok := strings.CutPrefix(text, scheme)
		if ok && (strings.HasPrefix(rest, "//") || strings.HasPrefix(rest, ":/") && !strings.HasPrefix(rest, "://")) {
			return true
		}
	}
	return false
}

// A host with or without a port and a path, and without a scheme.
var bareAddress = regexp.MustCompile(`^(localhost|[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?(/[^?#@]*)?$`)
