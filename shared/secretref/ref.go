// Package secretref reads the references that Amazon ECS writes as valueFrom and credentialsParameter: the text that
// names a secret of AWS Secrets Manager, a parameter of SSM Parameter Store or an object of Amazon S3. It uses no network.
//
// Parse is strict, so that a Ref can be trusted later; what it accepts beyond ECS (a version or label of a parameter)
// and refuses beyond ECS (an account that is not twelve digits, a version id that cannot be one) is listed in the
// table of differences in packaging/docs/differences.md. Errors are *fault.Error of kind BadReference. They quote text that begins with
// "arn:" and nothing else: people paste the secret itself where its reference belongs.
package secretref

import "strings"

// Service is the AWS service that holds the value.
type Service uint8

// The services. The zero Service belongs to the zero Ref, which refers to nothing.
const (
	SecretsManager Service = iota + 1
	SSM
	S3
)

// String returns the service's name in an ARN.
func (s Service) String() string {
	switch s {
	case SecretsManager:
		return "secretsmanager"
	case SSM:
		return "ssm"
	case S3:
		return "s3"
	}
	return ""
}

// Current is the version stage that is read when a reference names none.
const Current = "AWSCURRENT"

// Ref is one parsed reference. Refs that name the same thing in the same words are equal (==).
type Ref struct {
	Service Service

	// Partition, Region and Account are those of an ARN; all three are empty for a bare name. An object has only the first.
	Partition, Region, Account string

	// Name is the secret's name, with the random suffix when an ARN carries it, or the parameter's name, with its
	// leading slash when it has one; or BUCKET/KEY of an object.
	Name string

	// JSONKey, VersionStage and VersionID are the suffix of a secret's ARN; each may be empty.
	JSONKey, VersionStage, VersionID string

	// Selector is the version number or the label of a parameter; empty for the newest version.
	Selector string
}

// IsZero reports whether r refers to nothing.
func (r Ref) IsZero() bool { return r == Ref{} }

// String returns the canonical text: parsing it by the same rules gives r again.
func (r Ref) String() string {
	switch {
	case r.Service == S3:
		return r.arn(r.Name)
	case r.Service == SSM:
		return r.parameter(false) + r.selector()
	case r.JSONKey == "" && r.VersionStage == "" && r.VersionID == "":
		return r.SecretID()
	default:
		return r.SecretID() + ":" + r.JSONKey + ":" + r.VersionStage + ":" + r.VersionID
	}
}

// SecretID returns what GetSecretValue takes as SecretId: the ARN without the suffix, or the bare name.
func (r Ref) SecretID() string {
	if r.Account == "" {
		return r.Name
	}
	return r.arn("secret:" + r.Name)
}

// ParameterName returns what GetParameters takes as one of Names: the ARN when the reference is one, since a parameter
// of another account is found by ARN only, else the bare name; with the selector.
func (r Ref) ParameterName() string { return r.parameter(true) + r.selector() }

// Object returns the bucket and the key of an object; both are empty for a reference to something else.
func (r Ref) Object() (bucket, key string) {
	if r.Service != S3 {
		return "", ""
	}
	bucket, key, _ = strings.Cut(r.Name, "/")
	return bucket, key
}

// Stage returns the version stage to send. It is always sent, so that an IAM condition on secretsmanager:VersionStage
// works, but for a version id alone: that version may have no stage any more.
func (r Ref) Stage() string {
	if r.VersionStage == "" && r.VersionID == "" {
		return Current
	}
	return r.VersionStage
}

// EndsLikeSuffix reports whether the name ends in a hyphen and six letters or digits. Secrets Manager takes these for the
// random end of a full ARN, so such a name cannot be found by a partial ARN.
func (r Ref) EndsLikeSuffix() bool {
	i := len(r.Name) - 7
	if r.Service != SecretsManager || i < 0 || r.Name[i] != '-' {
		return false
	}
	return strings.IndexFunc(r.Name[i+1:], func(c rune) bool { return !isAlnum(c) }) < 0
}

func (r Ref) arn(resource string) string {
	return "arn:" + r.Partition + ":" + r.Service.String() + ":" + r.Region + ":" + r.Account + ":" + resource
}

// parameter returns the parameter's ARN or name. The parameter "/a" has the ARN of the parameter "a"; the canonical
// text keeps them apart with the spelling "parameter:/a", which the service does not know.
func (r Ref) parameter(forService bool) string {
	switch {
	case r.Account == "":
		return r.Name
	case strings.LastIndexByte(r.Name, '/') > 0:
		return r.arn("parameter" + r.Name)
	case r.Name[0] == '/' && !forService:
		return r.arn("parameter:" + r.Name)
	default:
		return r.arn("parameter/" + strings.TrimPrefix(r.Name, "/"))
	}
}

func (r Ref) selector() string {
	if r.Selector == "" {
		return ""
	}
	return ":" + r.Selector
}
