package resolve

import (
	"log/slog"
	"strconv"

	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/secretref"
)

// Access is one use of a reference: who was given which version of what, and as whom it was read. It never holds a value.
type Access struct {
	For       string     // Request.For
	Reference string     // as a user would write it; of a token of ECR, what it is
	Version   string     // id of the secret's version, or number of the parameter's; "" without a value
	Role      string     // that was assumed; "" = the host's own
	Failure   fault.Kind // why there is no value; "" = there is one
	Stale     bool       // the value stands in for a newer one, which AWS does not give at present
}

// LogValue returns the fields that are not empty.
func (a Access) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("for", a.For), slog.String("reference", a.Reference), slog.String("result", a.result())}
	if a.Version != "" {
		attrs = append(attrs, slog.String("version", a.Version))
	}
	if a.Role != "" {
		attrs = append(attrs, slog.String("role", a.Role))
	}
	return slog.GroupValue(attrs...)
}

// String returns one line of key=value pairs, for syslog.
func (a Access) String() string {
	s := ""
	for _, attr := range a.LogValue().Group() {
		s += " " + attr.Key + "=" + quoted(attr.Value.String())
	}
	return s[1:]
}

func quoted(s string) string {
	if q := strconv.Quote(s); len(q) != len(s)+2 || s == "" {
		return q
	}
	for _, c := range s {
		if c == ' ' || c == '=' {
			return strconv.Quote(s)
		}
	}
	return s
}

func (a Access) result() string {
	switch {
	case a.Failure != "":
		return a.Failure.Label()
	case a.Stale:
		return "stale"
	}
	return "ok"
}

// access reports the answer to q, once for each caller and answer of AWS: one who asks again is answered from memory
// many times a second.
func (r *Resolver) access(q Request, e *entry, res Result) {
	if r.audit == nil {
		return
	}
	a := Access{For: q.For, Reference: q.Ref.String(), Version: res.VersionID, Role: q.Role.RoleARN, Stale: res.Stale != nil}
	if res.Err != nil {
		a.Version, a.Failure = "", fault.KindOf(res.Err)
	}
	if e != nil {
		r.mu.Lock()
		u := use{q.For, q.Ref}
		told := e.told[u]
		if e.told == nil || len(e.told) >= maxTold {
			e.told = map[use]bool{}
		}
		e.told[u] = true
		r.mu.Unlock()
		if told {
			return
		}
	}
	r.audit(a)
}

// accessECR reports the answer to q.
func (r *Resolver) accessECR(q ECRRequest, err error) {
	if r.audit == nil {
		return
	}
	reference := "ECR token of " + q.Region
	if q.Public {
		reference = "ECR Public token"
	}
	r.audit(Access{For: q.Host, Reference: reference, Role: q.Role.RoleARN, Failure: fault.KindOf(err)})
}

// maxTold bounds what is kept of who was told; past it an access may be reported again.
const maxTold = 10000

// use is who was told of which reference.
type use struct {
	who string
	ref secretref.Ref
}
