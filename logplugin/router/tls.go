package router

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"

	"github.com/secretref/secretref/shared/safefile"
)

// TLSNames are a router's names of the TLS options; "" = it has none.
type TLSNames struct {
	CA         []string // at most one of them may be given
	Cert, Key  string
	ServerName string
	SkipVerify string
	NoTLS      string // what the address of a receiver without TLS has: "http:// in splunk-url"
}

// Credentials lists the options that hold certificates and keys.
func (n TLSNames) Credentials() []string { return append([]string{n.Cert, n.Key}, n.CA...) }

// TLS reads the TLS options. Certificates and keys are PEM text, or the absolute path of a file of it, which is read at
// each call: see Certificates. A CA replaces the system's roots.
func (v *Values) TLS(n TLSNames) *tls.Config {
	c := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         v.String(n.ServerName, ""),
		InsecureSkipVerify: v.Bool(n.SkipVerify, false),
	}
	ca := ""
	for _, name := range n.CA {
		switch {
		case !v.Has(name):
		case ca != "":
			v.fail("log-opts %s and %s are the same thing; give one", ca, name)
		default:
			ca = name
		}
	}
	if v.Has(n.Cert) != v.Has(n.Key) {
		v.fail("log-opts %s and %s need each other; give both", n.Cert, n.Key)
	}
	if v.err != nil {
		return c
	}
	if ca != "" && !v.Waits(ca) {
		c.RootCAs = x509.NewCertPool()
		if text := v.pem(ca); v.err == nil && !c.RootCAs.AppendCertsFromPEM(text) {
			v.fail("log-opt %s: there is no PEM certificate in it", ca)
		}
	}
	if v.Has(n.Cert) && !v.Waits(n.Cert) && !v.Waits(n.Key) {
		certPEM, keyPEM := v.pem(n.Cert), v.pem(n.Key)
		if v.err != nil {
			return c
		}
		pair, err := tls.X509KeyPair(certPEM, keyPEM)
		if err != nil { // its text may quote the PEM's block type, never its content
			v.fail("log-opts %s and %s: not a PEM certificate and its key", n.Cert, n.Key)
			return c
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c
}

// A file of certificates is never larger; a device or a log would be.
const maxPEM = 1 << 20

func (v *Values) pem(name string) []byte {
	text := v.String(name, "")
	if strings.Contains(text, "-----BEGIN ") {
		return []byte(text)
	}
	if !filepath.IsAbs(text) || strings.ContainsAny(text, "\n\r\x00") {
		v.fail("log-opt %s: %s is neither PEM text nor an absolute path", name, v.pathShown(name))
		return nil
	}
	path, err := v.allowed(text)
	if err != nil {
		v.fail("log-opt %s: read %s: %w%s", name, v.pathShown(name), err, placeHint(text, err))
		return nil
	}
	f, err := safefile.Read(path, safefile.Options{Max: maxPEM, NoFollow: v.files != nil})
	switch {
	case errors.Is(err, safefile.ErrNotRegular), errors.Is(err, safefile.ErrTooLarge):
		v.fail("log-opt %s: %s is not a file of certificates", name, v.pathShown(name))
	case err != nil:
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		v.fail("log-opt %s: read %s: %w%s", name, v.pathShown(name), err, placeHint(text, err))
	}
	return f.Data
}

// errFileNotAllowed is the fault of a file that root would open for somebody who may not read it.
var errFileNotAllowed = errors.New("containers may not name files there; allow_files in [logs] says below which directories they may")

// allowed returns the path that path means when all symbolic links are followed. It must lie below one of the directories: a
// link that leads out of them is refused, and whether there is a file outside of them is not told.
func (v *Values) allowed(path string) (string, error) {
	if v.files == nil {
		return path, nil
	}
	if !isBelow(v.files, filepath.Clean(path)) {
		return "", errFileNotAllowed
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err // the path of a link's target is not shown
		}
		return "", err
	}
	var dirs []string
	for _, dir := range v.files {
		if d, err := filepath.EvalSymlinks(dir); err == nil {
			dirs = append(dirs, d)
		}
	}
	if !isBelow(dirs, real) {
		return "", errFileNotAllowed
	}
	return real, nil
}

func isBelow(dirs []string, path string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool { return strings.HasPrefix(path, dir+"/") })
}

// placeHint explains a file that the user sees and the driver does not: as a service it has a /tmp of its own.
func placeHint(path string, err error) string {
	if errors.Is(err, fs.ErrNotExist) && (strings.HasPrefix(path, "/tmp/") || strings.HasPrefix(path, "/var/tmp/")) {
		return "; the log driver's service has a /tmp of its own (PrivateTmp): put the file elsewhere, such as below /etc/ssl"
	}
	return ""
}

// pathShown hides a value that is not a path: it may be a key without its first line.
func (v *Values) pathShown(name string) string {
	if _, plain := v.plain[name]; plain && filepath.IsAbs(v.plain[name]) && len(v.plain[name]) < 256 {
		return v.Shown(name)
	}
	return "its value"
}

// TLSFault says what a failed TLS handshake means, and what to do about it with the options n. The class is "" when err is
// not one. Refused client certificates and servers that cannot be verified may both mean that a certificate was rotated.
// With hidden no name out of the certificate is in the texts.
func TLSFault(err error, n TLSNames, hidden bool) (c Class, cause, hint string) {
	var (
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		remote  *net.OpError
		record  tls.RecordHeaderError
	)
	peer := "the receiver"
	if errors.As(err, &remote) && remote.Op == "proxyconnect" {
		peer = "the proxy"
	}
	switch {
	case errors.As(err, &unknown):
		return ClassConfig, peer + "'s certificate is signed by an unknown authority", "give its authority in " + strings.Join(n.CA, " or ")
	case errors.As(err, &host):
		cause, hint = hostFault(host, n, peer, hidden)
		return ClassConfig, cause, hint
	case errors.As(err, &invalid):
		hint = "give " + peer + " another one"
		if invalid.Reason == x509.Expired { // or not yet valid
			hint = "renew " + peer + "'s certificate, and compare this host's clock"
		}
		return ClassConfig, peer + "'s certificate is not valid: " + invalid.Error(), hint
	// net/http puts its own error in the place of this one when the answer looks like HTTP.
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return ClassConfig, "the receiver does not speak TLS", "write " + n.NoTLS + ", or enable TLS at the receiver"
	case errors.As(err, &remote) && remote.Op == "remote error" && isAboutCertificate(remote.Err.Error()):
		return ClassCredentials, "the receiver refuses the client certificate: " + remote.Err.Error(), ""
	}
	return "", "", ""
}

// hostFault explains a certificate for another name. One without any subject alternative name fits no name at all.
func hostFault(err x509.HostnameError, n TLSNames, peer string, hidden bool) (cause, hint string) {
	const shown = 3 // names
	c := err.Certificate
	names := c.DNSNames
	for _, ip := range c.IPAddresses {
		names = append(names[:len(names):len(names)], ip.String())
	}
	switch {
	case len(names) == 0:
		return peer + "'s certificate has no subject alternative name", "issue it again with the receiver's name as subjectAltName; a common name does not count"
	case hidden || len(names) > shown:
		return peer + "'s certificate is for another name", "give the name that is in it in " + n.ServerName
	}
	return peer + "'s certificate is for another name: it is for " + strings.Join(names, ", "), "give the name that is in it in " + n.ServerName
}

// crypto/tls does not export the alert that a peer has sent, only its text: bad certificate, certificate required,
// expired certificate, unknown certificate authority, access denied and the like.
func isAboutCertificate(alert string) bool {
	return strings.Contains(alert, "certificate") || strings.Contains(alert, "access denied")
}
