package awsrouter

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/secretref/secretref/logplugin/router"
)

// Signer implements router.Signing: requests are signed with the credentials of this host, or of a role that the options name.
func (h *Host) Signer(v *router.Values, prefix, service string) router.Signer {
	c := Service{Name: service, Prefix: prefix}.read(v)
	return &signer{host: h, service: service, prefix: prefix, conn: c, v4: v4.NewSigner()}
}

// Signed reads what AWS must allow to who signs the requests of a router: as router.Kind.Permissions. other is the service by default. The
// options name no domain and no collection, and what another service wants is not known.
func (h *Host) Signed(name, other string) func(v *router.Values) []router.Permission {
	return func(v *router.Values) []router.Permission {
		s := Service{Prefix: name + "-aws"}
		if !v.Bool(s.Prefix+"-auth", v.Waits(s.Prefix+"-auth")) {
			return nil
		}
		var all []router.Permission
		switch s.Name = v.String(s.Prefix+"-service", other); s.Name {
		case "es":
			action := "es:ESHttpPost"
			if v.String(name+"-method", http.MethodPost) == http.MethodPut {
				action = "es:ESHttpPut"
			}
			s.Resource = "domain/"
			all = append(all, router.Permission{Action: action, Resource: h.Resource(s, v, "*")})
		case "aoss":
			s.Resource = "collection/"
			all = append(all, router.Permission{Action: "aoss:APIAccessAll", Resource: h.Resource(s, v, "*")})
		}
		return append(all, s.Assumes(v)...)
	}
}

// signer signs the requests of a router that speaks no protocol of AWS.
type signer struct {
	host            *Host
	service, prefix string
	conn            connection
	v4              *v4.Signer
	creds           atomic.Pointer[aws.Credentials] // of the last signature
}

// Sign implements router.Signer.
func (s *signer) Sign(ctx context.Context, r *http.Request, hash string, at time.Time) *router.Error {
	op := "sign a request to " + s.service
	if s.host.session == nil {
		return &router.Error{Class: router.ClassConfig, Op: op, Cause: "AWS cannot be reached from here", Bad: router.NoRecord}
	}
	limited, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	return inTime(ctx, limited, s.sign(limited, op, r, hash, at))
}

func (s *signer) sign(ctx context.Context, op string, r *http.Request, hash string, at time.Time) *router.Error {
	region, err := s.conn.region, error(nil)
	if region == "" {
		if region, err = s.host.session.Region(ctx); err != nil {
			return unavailable(op, err)
		}
	}
	to, err := s.host.session.Service(ctx, s.service, region, s.conn.as)
	if err != nil {
		return unavailable(op, err)
	}
	s.creds.Store(&to.Credentials)
	r.Header.Set("X-Amz-Content-Sha256", hash) // which OpenSearch Serverless wants
	if err := s.v4.SignHTTP(ctx, to.Credentials, r, hash, s.service, region, at); err != nil {
		return &router.Error{Class: router.ClassConfig, Op: op, Cause: "the request cannot be signed", Bad: router.NoRecord}
	}
	return nil
}

// Refused implements router.Signer.
func (s *signer) Refused() {
	if creds := s.creds.Load(); creds != nil {
		s.host.session.Refused(s.conn.as, *creds)
	}
}

// Secrets implements router.Signer.
func (s *signer) Secrets() []string { return secretsOf(s.creds.Load()) }

// secretsOf lists what no error may show of credentials.
func secretsOf(creds *aws.Credentials) (all []string) {
	if creds == nil {
		return nil
	}
	for _, text := range []string{creds.SecretAccessKey, creds.SessionToken} {
		if text != "" {
			all = append(all, text)
		}
	}
	return all
}
