package router

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Receiver is what the options of a router over HTTP say of where it sends. It holds no credential, unless one is in the
// address.
type Receiver struct {
	Base     string   // the address of a request, before its Path
	Others   []string // further ones, for when the first does not answer
	Name     string   // how errors call the receiver
	Hidden   bool     // the address came by reference, and is shown nowhere
	TLS      *tls.Config
	Encoding string // of bodies; "" = none
	Timeout  time.Duration
	Redact   func(v *Values, text string) string
	Signer   Signer // nil = requests are not signed
}

// ReceiverForm says how the options of a Receiver are called, and what they may be.
type ReceiverForm struct {
	Router    string        // its name, and the prefix of its options
	Addresses []string      // the options that the address is made of
	Path      string        // of a request, behind the address
	Compress  string        // the option
	Encodings []string      // its words; the first is the default
	Timeout   string        // the option
	Wait      time.Duration // its default
	TLS       TLSNames
	Redact    func(v *Values, text string) string
}

// Receiver reads the options of a receiver at addresses, of which there is one at least; the faults are in v. credentials are the
// options that must not go to another host without TLS. nil certificates are read from their files now.
func (v *Values) Receiver(f ReceiverForm, addresses []Address, certificates *Certificates, credentials ...string) Receiver {
	r := Receiver{
		Encoding: v.Compression(f.Compress, f.Encodings...),
		Timeout:  v.Duration(f.Timeout, f.Wait, time.Second, 10*time.Minute),
		Redact:   f.Redact,
	}
	for _, name := range f.Addresses {
		r.Hidden = r.Hidden || v.IsSecret(name)
	}
	for i, a := range addresses {
		secrets := credentials
		if r.Hidden && a.Query != "" { // there is a credential in it
			secrets = slices.Concat(credentials, f.Addresses)
		}
		v.CheckPlaintext(f.Router, a, secrets...)
		if base := a.request(f.Path); i == 0 {
			r.Base = base
		} else {
			r.Others = append(r.Others, base)
		}
	}
	r.Name = ShownList(addresses, r.Hidden, f.Router)
	r.TLS = certificates.Config(v, f.TLS)
	return r
}

// ShownList is how errors call the receivers at addresses, of which there is one at least: as Address.Shown.
func ShownList(addresses []Address, hidden bool, router string) string {
	name := addresses[0].Shown(hidden, router)
	if n := len(addresses) - 1; n > 0 && !hidden {
		name += fmt.Sprintf(" and %d more", n)
	}
	return name
}

// request returns the address of a request to path, which may have a query as a may.
func (a Address) request(path string) string {
	base := a.Base() + a.Path + path
	switch {
	case a.Query == "":
		return base
	case strings.Contains(path, "?"):
		return base + "&" + a.Query
	}
	return base + "?" + a.Query
}

// Client says how the client of r is made.
func (r Receiver) Client() HTTPConfig {
	return HTTPConfig{Base: r.Base, Others: r.Others, Hidden: r.Hidden, TLS: r.TLS, Timeout: r.Timeout, Encoding: r.Encoding, Level: DefaultLevel, Redact: r.Redact, Signer: r.Signer}
}
