package fakeaws

import (
	"encoding/xml"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

type assumeRoleResult struct {
	XMLName         xml.Name `xml:"AssumeRoleResult"`
	AssumedRoleUser struct {
		AssumedRoleID string `xml:"AssumedRoleId"`
		ARN           string `xml:"Arn"`
	}
	Credentials struct {
		AccessKeyID string `xml:"AccessKeyId"`
		SecretAccessKey,
		SessionToken string
		Expiration string
	}
}

func (s *Server) assumeRole(r *request) (any, error) {
	arn, session := r.form.Get("RoleArn"), r.form.Get("RoleSessionName")
	r.call.Resources, r.call.Session = []string{arn}, session
	if !sessionName.MatchString(session) {
		return nil, &apiError{code: "ValidationError", message: "1 validation error detected: Value '" + session +
			"' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]*"}
	}
	lifetime := time.Hour
	if text := r.form.Get("DurationSeconds"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 900 || n > 43200 {
			return nil, &apiError{code: "ValidationError", message: "The requested DurationSeconds must be between 900 and 43200."}
		}
		lifetime = time.Duration(n) * time.Second
	}
	if err := s.authorize(r, "sts:AssumeRole", arn); err != nil {
		return nil, err
	}
	role, ok := s.roles[arn]
	// The answer to a wrong external id, to a caller that is not trusted and to a role that is not there is the same.
	if !ok || role.ExternalID != "" && role.ExternalID != r.form.Get("ExternalId") || !role.trusts(r.who) {
		return nil, denied(r, "sts:AssumeRole", arn, "")
	}
	if role.Lifetime != 0 {
		lifetime = role.Lifetime
	}
	user, ok := sessionARN(arn, session)
	if !ok {
		return nil, &apiError{code: "ValidationError", message: arn + " is invalid"}
	}
	c := s.issue(user, lifetime)
	var out assumeRoleResult
	out.AssumedRoleUser.ARN = user
	out.AssumedRoleUser.AssumedRoleID = "AROA" + randomText(17) + ":" + session
	out.Credentials.AccessKeyID = c.AccessKeyID
	out.Credentials.SecretAccessKey = c.SecretAccessKey
	out.Credentials.SessionToken = c.SessionToken
	out.Credentials.Expiration = c.Expires.Format(time.RFC3339)
	return out, nil
}

func (role Role) trusts(who identity) bool {
	for _, pattern := range role.Trust {
		if who.matches(pattern) {
			return true
		}
	}
	return len(role.Trust) == 0
}

// sessionARN turns the ARN of a role into that of a session, which has the role's name without its path.
func sessionARN(role, session string) (string, bool) {
	part := strings.SplitN(role, ":", 6)
	if len(part) != 6 || part[2] != "iam" || !strings.HasPrefix(part[5], "role/") {
		return "", false
	}
	name := part[5][strings.LastIndexByte(part[5], '/')+1:]
	return "arn:" + part[1] + ":sts::" + part[4] + ":assumed-role/" + name + "/" + session, true
}

type getCallerIdentityResult struct {
	XMLName xml.Name `xml:"GetCallerIdentityResult"`
	ARN     string   `xml:"Arn"`
	UserID  string   `xml:"UserId"`
	Account string
}

func (s *Server) getCallerIdentity(r *request) (any, error) {
	return getCallerIdentityResult{ARN: r.who.arn, UserID: "AIDACKCEVSQ6C2EXAMPLE", Account: r.who.account}, nil
}
