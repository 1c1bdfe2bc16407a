package router

import (
	"crypto/tls"
	"strings"
	"time"
)

// Receiver is what the options of a router over HTTP say of where it sends. It holds no credential, unless one is in the
// address.
type Receiver struct {
	Base     string // the address of a request, before its Path
	Name     string // how errors call the receiver
	Hidden   bool   // the address came by reference, and is shown nowhere
	TLS      *tls.Config
	Encoding string // of bodies; "" = none
	Timeout  time.Duration
	Redact   func(v *Values, text string) string
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

// Receiver reads the options of a receiver at a; the faults are in v. credentials are the options that must not go to another
// host without TLS. nil certificates are read from their files now.
func (v *Values) Receiver(f ReceiverForm, a Address, certificates *Certificates, credentials ...string) Receiver {
	r := Receiver{
		Encoding: v.Compression(f.Compress, f.Encodings...),
		Timeout:  v.Duration(f.Timeout, f.Wait, time.Second, 10*time.Minute),
		Base:     a.Base() + a.Path + f.Path,
		Redact:   f.Redact,
	}
	if a.Query != "" && strings.Contains(r.Base, "?") {
		r.Base += "&" + a.Query
	} else if a.Query != "" {
		r.Base += "?" + a.Query
	}
	for _, name := range f.Addresses {
		if v.IsSecret(name) {
			r.Hidden = true
			if a.Query != "" { // there is a credential in it
				credentials = append(credentials[:len(credentials):len(credentials)], name)
			}
		}
	}
	r.Name = a.Shown(r.Hidden, f.Router)
	v.CheckPlaintext(f.Router, a, credentials...)
	r.TLS = certificates.Config(v, f.TLS)
	return r
}

// Client says how the client of r is made.
func (r Receiver) Client() HTTPConfig {
	return HTTPConfig{Base: r.Base, Hidden: r.Hidden, TLS: r.TLS, Timeout: r.Timeout, Encoding: r.Encoding, Level: DefaultLevel, Redact: r.Redact}
}
