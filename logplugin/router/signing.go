package router

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"sync/atomic"
	"time"
)

// Signer signs requests with credentials of AWS. It is safe for concurrent use.
type Signer interface {
	// Sign adds the headers of a signature of the time at to r, whose body has this hash of SHA-256, in hexadecimal digits.
	Sign(ctx context.Context, r *http.Request, hash string, at time.Time) *Error
	// Refused says that the receiver has refused the last credentials: they are fetched anew.
	Refused()
	// Secrets are those texts among the last credentials that no error may show.
	Secrets() []string
}

// Signing makes a Signer for requests to a service of AWS. It reads PREFIX-region, PREFIX-role-arn and PREFIX-external-id; the faults are
// in v. Routers that sign get one from the list of routers, and know nothing else of AWS.
type Signing func(v *Values, prefix, service string) Signer

// SigningForm names the options of a router that say whether and how its requests are signed.
type SigningForm struct {
	Router  string // the prefix of its options
	Service string // the service by default; "" means that it must be given
}

func (f SigningForm) name(what string) string { return f.Router + "-aws-" + what }

// Options lists them.
func (f SigningForm) Options() []Option {
	return []Option{
		{Name: f.name("auth"), Default: "false"}, {Name: f.name("service"), Default: f.Service}, {Name: f.name("region")},
		{Name: f.name("role-arn"), Role: true}, {Name: f.name("external-id")},
	}
}

var signedService = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

// Read returns who signs the requests; nil means that they are not signed. others are the credentials that have no place beside a
// signature. The faults are in v.
func (f SigningForm) Read(v *Values, signing Signing, others ...string) Signer {
	if !v.Bool(f.name("auth"), false) {
		for _, o := range f.Options()[1:] {
			if isGiven := v.IsSecret(o.Name) || v.String(o.Name, o.Default) != o.Default; isGiven && !v.Waits(f.name("auth")) {
				v.fail("log-opt %s is given without %s=true; give both or neither", o.Name, f.name("auth"))
			}
		}
		return nil
	}
	service := v.String(f.name("service"), f.Service)
	switch {
	case service == "" && !v.Waits(f.name("service")):
		v.fail("log-opt %s is required by %s; write the name in the signature, such as es, aoss or execute-api", f.name("service"), f.name("auth"))
	case service != "" && !signedService.MatchString(service):
		v.fail("log-opt %s: %s is not the name of a service in a signature, such as es or aoss", f.name("service"), v.Shown(f.name("service")))
	case signing == nil:
		v.fail("log-opt %s: requests cannot be signed here", f.name("auth"))
	}
	for _, o := range others {
		if v.Has(o) {
			v.fail("log-opts %s and %s are two ways to log in; give one", f.name("auth"), o)
		}
	}
	if v.Err() != nil {
		return nil
	}
	return signing(v, f.Router+"-aws", service)
}

// Credential is the option that must not send a signature to another host without TLS.
func (f SigningForm) Credential(s Signer) []string {
	if s == nil {
		return nil
	}
	return []string{f.name("auth")}
}

// skew is how much the clock of a receiver is ahead of this host's, as its refusals of signatures show: AWS takes none that is more
// than five minutes old. It is safe for concurrent use.
type skew struct{ ahead atomic.Int64 }

// smallSkew is too little to be the reason of a refusal.
const smallSkew = 4 * time.Minute

// time returns the receiver's time.
func (s *skew) time() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }

// learn looks at the answer to a request whose signature is of the time signed. It returns true when the request was refused and the
// receiver's time is another: then a signature of that time may be accepted. An answer that is not a refusal says nothing of
// the clock, because the time in it may be that of something between.
func (s *skew) learn(a *Answer, signed time.Time) bool {
	switch a.Status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
	default:
		return false
	}
	at, err := http.ParseTime(a.Header.Get("Date"))
	if err != nil || at.Sub(signed).Abs() < smallSkew {
		return false
	}
	s.ahead.Store(int64(time.Until(at)))
	return true
}

// note says what a person can do about it; "" means that there is nothing to do.
func (s *skew) note() string { return SkewNote(time.Duration(s.ahead.Load())) }

// SkewNote says what a person can do about a receiver's clock that is ahead of this host's when the receiver's time is in the signatures;
// "" means that there is nothing to do.
func SkewNote(ahead time.Duration) string {
	ahead = ahead.Round(time.Minute)
	switch {
	case ahead.Abs() < smallSkew:
		return ""
	case ahead > 0:
		return fmt.Sprintf("the clock of this host is %v behind the receiver's, whose time is in the signatures; correct it", ahead)
	}
	return fmt.Sprintf("the clock of this host is %v ahead of the receiver's, whose time is in the signatures; correct it", -ahead)
}

// sign signs a request whose body has these parts, with a signature of the time at.
func sign(ctx context.Context, s Signer, r *http.Request, body [][]byte, at time.Time) *Error {
	hash := sha256.New()
	if r.Body != nil {
		for _, p := range body {
			hash.Write(p)
		}
	}
	return s.Sign(ctx, r, hex.EncodeToString(hash.Sum(nil)), at)
}
