package secretref

import (
	"fmt"
	"strings"

	"github.com/secretref/secretref/shared/fault"
)

// Limits of the two APIs (Secrets Manager 2017-10-17, Systems Manager 2014-11-06).
const (
	maxReference     = 2048 // SecretId, and a parameter's name
	maxQuoted        = 512  // of a reference in an error, which must leave room for what is wrong
	maxParameterName = 1011 // what is left of it for a name, next to the ARN's prefix
	maxLevels        = 15
	maxLabel         = 100
	maxStage         = 256
	minVersionID     = 32
	maxVersionID     = 64
)

// Parse reads a valueFrom as ECS does: an ARN of a secret, with or without the suffix ":json-key:version-stage:version-id";
// an ARN of a parameter; an ARN of an object in a bucket; or the bare name of a parameter. A parameter may carry ":version" or ":label".
func Parse(valueFrom string) (Ref, error) {
	return parse(valueFrom, parseParameter)
}

// ParseCredentialsParameter reads a credentialsParameter as ECS does: like Parse, but a text that is not an ARN is the
// name of a secret in Secrets Manager.
func ParseCredentialsParameter(s string) (Ref, error) {
	return parse(s, func(name string) (Ref, error) {
		r := Ref{Service: SecretsManager, Name: name}
		return r, checkSecretName(name)
	})
}

func parse(s string, bare func(string) (Ref, error)) (r Ref, err error) {
	switch {
	case s == "":
		err = bad("it is empty", "give the ARN of a secret or parameter, or a name")
	case len(s) > maxReference:
		err = bad(fmt.Sprintf("it has %d characters, and AWS takes at most %d", len(s), maxReference), "")
	case strings.TrimSpace(s) != s:
		err = bad("there is white space before or after it", "remove it")
	case strings.ContainsFunc(s, isControl):
		err = bad("it holds a control character", "is it the reference, and not the secret itself?")
	case strings.HasPrefix(s, "arn:"):
		r, err = parseARN(s)
	default:
		r, err = bare(s)
	}
	if err == nil {
		return r, nil
	}
	if e := err.(*fault.Error); strings.HasPrefix(s, "arn:") && len(s) <= maxQuoted {
		e.Op += " " + fault.OneLine(s)
	}
	return Ref{}, err
}

func parseARN(s string) (Ref, error) {
	p := strings.SplitN(s, ":", 6)
	if len(p) < 6 {
		return Ref{}, bad("an ARN has six parts, this has "+fmt.Sprint(len(p)),
			"write arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME, arn:aws:ssm:REGION:ACCOUNT:parameter/NAME or arn:aws:s3:::BUCKET/KEY")
	}
	r := Ref{Partition: p[1], Region: p[3], Account: p[4]}
	switch {
	case !isPartition(r.Partition):
		return Ref{}, bad("the partition is not one of AWS", "it is aws, aws-cn, aws-us-gov, aws-eusc or an aws-iso one")
	case p[2] == "s3":
		return parseObjectARN(r, p[5])
	case p[2] != "secretsmanager" && p[2] != "ssm":
		return Ref{}, bad("the service is not secretsmanager, ssm or s3", "only these hold values")
	case !IsRegion(r.Region):
		return Ref{}, bad("the region is missing or malformed", "it looks like eu-west-1")
	case !IsAccount(r.Account):
		return Ref{}, bad("the account is not twelve digits", "copy the ARN from the console or from describe-secret")
	case p[2] == "ssm":
		return parseParameterARN(r, p[5])
	}
	return parseSecretARN(r, p[5])
}

// parseSecretARN reads "secret:NAME" with or without the three fields of the suffix.
func parseSecretARN(r Ref, resource string) (Ref, error) {
	r.Service = SecretsManager
	p := strings.Split(resource, ":")
	if p[0] != "secret" || len(p) < 2 {
		return Ref{}, bad("the resource does not begin with secret:", "write …:secret:NAME")
	}
	switch len(p) {
	case 2:
	case 5:
		r.JSONKey, r.VersionStage, r.VersionID = p[2], p[3], p[4]
	default:
		return Ref{}, bad(fmt.Sprintf("an invalid ARN format for the AWS Secrets Manager secret was specified: fields after the name: %d, not 0 or 3", len(p)-2),
			"write all three colons, as in …:secret:NAME:json-key:version-stage:version-id or …:secret:NAME:json-key::")
	}
	r.Name = p[1]
	if err := checkSecretName(r.Name); err != nil {
		return Ref{}, err
	}
	if len(r.VersionStage) > maxStage {
		return Ref{}, bad("the version stage is longer than 256 characters", "")
	}
	if n := len(r.VersionID); n != 0 && (n < minVersionID || n > maxVersionID) {
		return Ref{}, bad(fmt.Sprintf("the VersionId has %d characters, and AWS gives %d to %d", n, minVersionID, maxVersionID),
			"a stage such as AWSPREVIOUS goes one field before: …:json-key:AWSPREVIOUS:")
	}
	return r, nil
}

// parseParameterARN reads "parameter/a/b" (the name is /a/b), "parameter/a" (the name is a) and "parameter:/a", a form
// that the ECS documentation shows.
func parseParameterARN(r Ref, resource string) (Ref, error) {
	rest, ok := strings.CutPrefix(resource, "parameter")
	if !ok || rest == "" || (rest[0] != '/' && !strings.HasPrefix(rest, ":/")) {
		return Ref{}, bad("the resource does not begin with parameter/", "the parameter /a/b has the resource parameter/a/b")
	}
	name, colon := strings.CutPrefix(rest, ":")
	if bare, _, _ := strings.Cut(name, ":"); !colon && strings.LastIndexByte(bare, '/') == 0 {
		name = name[1:]
	}
	p, err := parseParameter(name)
	if err != nil {
		return Ref{}, err
	}
	p.Partition, p.Region, p.Account = r.Partition, r.Region, r.Account
	return p, nil
}

// parseParameter reads a parameter's name with or without a selector.
func parseParameter(s string) (Ref, error) {
	name, selector, selected := strings.Cut(s, ":")
	r := Ref{Service: SSM, Name: name, Selector: selector}
	if err := checkParameterName(name); err != nil {
		return Ref{}, err
	}
	if selected && !isVersion(selector) && !isLabel(selector) {
		return Ref{}, bad("what follows the parameter's name is neither a version number nor a label",
			"write NAME, NAME:3 or NAME:label; a parameter has no json-key")
	}
	return r, nil
}

func checkSecretName(name string) error {
	if name == "" {
		return bad("the secret's name is missing", "write it after the last colon, as in …:secret:NAME")
	}
	if i := strings.IndexFunc(name, func(c rune) bool { return !isAlnum(c) && !strings.ContainsRune("/_+=.@-!", c) }); i >= 0 {
		return bad(fmt.Sprintf("character %d cannot be part of a secret's name", i+1),
			"letters, digits and /_+=.@-! can; is it the reference, and not the secret itself?")
	}
	return nil
}

func checkParameterName(name string) error {
	// Parameter Store passes these on to Secrets Manager, whose names have more characters.
	const passThrough = "/aws/reference/secretsmanager/"
	extra := "_.-/"
	if strings.HasPrefix(name, passThrough) {
		extra += "+=@!"
	}
	levels := strings.Count(name, "/")
	switch i := strings.IndexFunc(name, func(c rune) bool { return !isAlnum(c) && !strings.ContainsRune(extra, c) }); {
	case name == "":
		return bad("the parameter's name is missing", "write it out, as in …:parameter/NAME")
	case i >= 0:
		return bad(fmt.Sprintf("character %d cannot be part of a parameter's name", i+1),
			"letters, digits and _.-/ can; is it the reference, and not the secret itself?")
	case len(name) > maxParameterName:
		return bad(fmt.Sprintf("the parameter's name is longer than %d characters", maxParameterName), "")
	case strings.Contains(name, "//") || strings.HasSuffix(name, "/"):
		return bad("a level of the parameter's name is empty", "remove the extra slash; the ARN of /a/b ends in parameter/a/b")
	case levels > 0 && name[0] != '/':
		return bad("a parameter's name with levels begins with a slash", "write /a/b")
	case levels > maxLevels:
		return bad(fmt.Sprintf("the parameter's name has more than %d levels", maxLevels), "")
	}
	return nil
}

// IsRegion reports whether s has the form of an AWS region of any partition.
func IsRegion(s string) bool {
	p := strings.Split(s, "-")
	if len(p) < 3 || len(s) > 32 {
		return false
	}
	for i, w := range p {
		alphabet := "abcdefghijklmnopqrstuvwxyz"
		if i == len(p)-1 {
			alphabet = "0123456789"
		}
		if w == "" || strings.Trim(w, alphabet) != "" {
			return false
		}
	}
	return true
}

// IsAccount reports whether s is an AWS account id: twelve digits.
func IsAccount(s string) bool { return len(s) == 12 && strings.Trim(s, "0123456789") == "" }

func isPartition(s string) bool {
	return s == "aws" || (strings.HasPrefix(s, "aws-") && len(s) > 4 && strings.Trim(s[4:], "abcdefghijklmnopqrstuvwxyz-") == "")
}

func isVersion(s string) bool {
	return s != "" && len(s) <= 18 && s[0] != '0' && strings.Trim(s, "0123456789") == ""
}

// isLabel follows LabelParameterVersion: at most 100 characters, no digit, "aws" or "ssm" at the beginning.
func isLabel(s string) bool {
	if s == "" || len(s) > maxLabel || isDigit(rune(s[0])) {
		return false
	}
	if low := strings.ToLower(s); strings.HasPrefix(low, "aws") || strings.HasPrefix(low, "ssm") {
		return false
	}
	return strings.IndexFunc(s, func(c rune) bool { return !isAlnum(c) && !strings.ContainsRune("_.-", c) }) < 0
}

func isDigit(c rune) bool { return c >= '0' && c <= '9' }

func isAlnum(c rune) bool {
	return isDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
}

func isControl(c rune) bool { return c < ' ' || c == 0x7f }

func bad(cause, hint string) *fault.Error {
	return &fault.Error{Kind: fault.BadReference, Op: "parse reference", Cause: cause, Hint: hint}
}
