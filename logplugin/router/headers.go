package router

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// Headers are options of a family that give headers of each request: http-header.NAME has the value of the header NAME.
type Headers struct {
	Family string
	Own    []string // headers that the router itself sets, and options may not, besides those of the connection
}

// ofConnection are the headers that belong to the connection and to the body.
var ofConnection = []string{"Connection", "Content-Encoding", "Content-Length", "Host", "Transfer-Encoding", "Upgrade"}

func (f Headers) name(option string) string {
	return textproto.CanonicalMIMEHeaderKey(strings.TrimPrefix(option, f.Family+"."))
}

// Check looks at the headers that o gives; faults are in v.
func (f Headers) Check(o Options, v *Values) {
	var seen []string
	for _, option := range o.Members(f.Family) {
		name := f.name(option)
		switch {
		case !isToken(name):
			v.Refuse("log-opt %s: that is not the name of a header", option)
		case slices.Contains(ofConnection, name) || slices.Contains(f.Own, name):
			v.Refuse("log-opt %s: this header is the log driver's own", option)
		case slices.Contains(seen, name):
			v.Refuse("log-opt %s: the header %s is given twice", option, name)
		}
		v.CheckHeaderLine(option)
		seen = append(seen, name)
	}
}

// Named returns the name of the header that an option names, which is none of those that o gives otherwise; "" means that the option is
// not given. The faults are in v.
func (f Headers) Named(o Options, v *Values, option string) string {
	if !v.Has(option) || v.Waits(option) {
		return ""
	}
	name := textproto.CanonicalMIMEHeaderKey(v.String(option, ""))
	switch {
	case !isToken(name):
		v.Refuse("log-opt %s: %s is not the name of a header", option, v.Shown(option))
	case slices.Contains(ofConnection, name) || slices.Contains(f.Own, name) || name == "Content-Type" || name == "Authorization":
		v.Refuse("log-opt %s: this header is the log driver's own", option)
	}
	if f.Has(o, name) {
		v.Refuse("log-opts %s.%s and %s give the same header; give one", f.Family, name, option)
	}
	return name
}

// Has reports whether o gives the header of that name.
func (f Headers) Has(o Options, header string) bool {
	return slices.ContainsFunc(o.Members(f.Family), func(option string) bool { return f.name(option) == header })
}

// Set sets the headers that o gives.
func (f Headers) Set(o Options, h http.Header, v *Values) {
	for _, option := range o.Members(f.Family) {
		v.SetHeader(h, f.name(option), option)
	}
}

// isToken reports whether s can be the name of a header.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}
