package fakeaws

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"strings"
	"time"
)

// Credentials are an access key, and whose it is.
type Credentials struct {
	AccessKeyID, SecretAccessKey, SessionToken string

	Identity string    // ARN of a user, or of an assumed-role session
	Expires  time.Time // zero = never
}

// Role is a role that AssumeRole gives out, or the role of an instance.
type Role struct {
	ARN        string        `json:"arn"`                  // "arn:aws:iam::111122223333:role/reader"
	ExternalID string        `json:"externalId,omitempty"` // must be sent; "" = none is asked for
	Trust      []string      `json:"trust,omitempty"`      // ARNs that may assume it, with * and ?; empty = everybody
	Lifetime   time.Duration `json:"-"`                    // of its credentials, whatever was asked for; 0 = as asked for
}

// PutRole adds or replaces a role.
func (s *Server) PutRole(r Role) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roles[r.ARN] = r
}

// AddCredentials makes credentials of an identity: long-lived ones with a lifetime of 0, temporary ones with any other.
// A negative lifetime makes credentials that have expired.
func (s *Server) AddCredentials(identityARN string, lifetime time.Duration) Credentials {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.issue(identityARN, lifetime)
}

func (s *Server) issue(identityARN string, lifetime time.Duration) Credentials {
	c := Credentials{AccessKeyID: "AKIA" + randomText(16), SecretAccessKey: randomText(40), Identity: identityARN}
	if lifetime != 0 {
		c.AccessKeyID = "ASIA" + c.AccessKeyID[4:]
		c.SessionToken = "FwoGZXIvYXdzE" + randomText(80)
		c.Expires = s.now().Add(lifetime).UTC().Truncate(time.Second)
	}
	s.creds[c.AccessKeyID] = c
	return c
}

// rule is one line of policy.
type rule struct {
	identity, action, resource string
	effect                     effect
}

type effect int

const (
	allowed effect = iota
	notAllowed
	explicitlyDenied
)

// Allow lets an identity (ARN of a user, a role or a session) do an action ("ssm:GetParameters") on a resource (an ARN,
// or the name as it is asked for). Each may hold * and ?. Everything is allowed until it is denied; the last rule that
// matches counts.
func (s *Server) Allow(identityARN, action, resource string) {
	s.addRule(rule{identityARN, action, resource, allowed})
}

// Deny takes a permission away: the answer is "no identity-based policy allows".
func (s *Server) Deny(identityARN, action, resource string) {
	s.addRule(rule{identityARN, action, resource, notAllowed})
}

// DenyExplicitly is Deny with the words of an explicit deny.
func (s *Server) DenyExplicitly(identityARN, action, resource string) {
	s.addRule(rule{identityARN, action, resource, explicitlyDenied})
}

func (s *Server) addRule(r rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = append(s.rules, r)
}

// identity is a caller.
type identity struct {
	arn     string // as GetCallerIdentity returns it
	role    string // ARN of the role of a session; "" for a user
	account string
}

func identityOf(c Credentials) identity {
	id := identity{arn: c.Identity}
	part := strings.SplitN(c.Identity, ":", 6)
	if len(part) == 6 {
		id.account = part[4]
		if name, ok := strings.CutPrefix(part[5], "assumed-role/"); ok {
			name, _, _ = strings.Cut(name, "/")
			id.role = "arn:" + part[1] + ":iam::" + id.account + ":role/" + name
		}
	}
	return id
}

func (id identity) matches(pattern string) bool {
	return glob(pattern, id.arn) || id.role != "" && glob(pattern, id.role)
}

// authorize reports whether the caller may do action ("GetSecretValue" of the service asked) on what it named asked;
// aliases are other names of the same thing, which a rule may also use.
func (s *Server) authorize(r *request, action, asked string, aliases ...string) error {
	verdict := allowed
	for _, rule := range s.rules {
		if !r.who.matches(rule.identity) || !glob(rule.action, action) {
			continue
		}
		for _, name := range append(aliases, asked) {
			if glob(rule.resource, name) {
				verdict = rule.effect
			}
		}
	}
	switch verdict {
	case notAllowed:
		return denied(r, action, asked, "because no identity-based policy allows the "+action+" action")
	case explicitlyDenied:
		return denied(r, action, asked, "with an explicit deny in an identity-based policy")
	}
	return nil
}

func denied(r *request, action, resource, why string) error {
	code, text := "AccessDeniedException", fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s", r.who.arn, action, resource)
	if r.service == "sts" {
		return &apiError{code: "AccessDenied", message: text}
	}
	return &apiError{code: code, message: text + " " + why}
}

// fromOutside reports whether account is not the caller's and the thing is not shared.
func (r *request) fromOutside(account string, shared bool) bool {
	return account != r.who.account && !shared
}

func otherAccount(r *request, action, resource string) error {
	return denied(r, action, resource, "because no resource-based policy allows the "+action+" action")
}

// glob matches as IAM does: * is any text, ? is one character.
func glob(pattern, text string) bool {
	for pattern != "" {
		switch {
		case pattern[0] == '*':
			for i := range len(text) + 1 {
				if glob(pattern[1:], text[i:]) {
					return true
				}
			}
			return false
		case text == "" || pattern[0] != '?' && pattern[0] != text[0]:
			return false
		}
		pattern, text = pattern[1:], text[1:]
	}
	return text == ""
}

// randomText returns n characters of A-Z and 2-7.
func randomText(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return base32.StdEncoding.EncodeToString(b)[:n]
}

// randomID returns a random UUID, as request ids and version ids are.
func randomID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
