package fakeaws

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// KMS is what happens when a thing is to be decrypted.
type KMS string

// The states of a KMS key.
const (
	KMSWorks    KMS = ""
	KMSBroken   KMS = "broken" // disabled or deleted: DecryptionFailure; of SSM InvalidKeyId
	KMSDenied   KMS = "denied" // the caller lacks kms:Decrypt: AccessDeniedException
	awsCurrent      = "AWSCURRENT"
	awsPrevious     = "AWSPREVIOUS"
)

// Secret is a secret to put. It starts with one version, which is AWSCURRENT.
type Secret struct {
	Name      string `json:"name"`
	Region    string `json:"region,omitempty"`    // "" = the server's
	Account   string `json:"account,omitempty"`   // "" = the server's
	Suffix    string `json:"suffix,omitempty"`    // the six characters at the end of the ARN; "" = random
	String    string `json:"string,omitempty"`    // the value, unless Binary is set; may be empty, which the real service refuses
	Binary    []byte `json:"binary,omitempty"`    // in JSON as base64
	VersionID string `json:"versionId,omitempty"` // "" = random
	KMS       KMS    `json:"kms,omitempty"`
	Deleted   bool   `json:"deleted,omitempty"` // scheduled for deletion
	Shared    bool   `json:"shared,omitempty"`  // a resource policy admits other accounts
}

type storedSecret struct {
	Secret
	arn      string
	versions []*version // oldest first
	created  time.Time
	deletion time.Time // zero = not scheduled
}

type version struct {
	id      string
	text    string
	binary  []byte // not nil = the value is binary
	stages  []string
	created time.Time
}

// PutSecret adds a secret and returns its ARN. One of the same name, region and account is replaced, and its ARN kept.
func (s *Server) PutSecret(in Secret) (arn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in.Region, in.Account = or(in.Region, s.region), or(in.Account, s.account)
	s.secrets = slices.DeleteFunc(s.secrets, func(old *storedSecret) bool {
		same := old.Name == in.Name && old.Region == in.Region && old.Account == in.Account
		if same {
			in.Suffix = or(in.Suffix, old.Suffix)
		}
		return same
	})
	sec := s.addSecret(in)
	sec.put(&version{id: or(in.VersionID, randomID()), text: in.String, binary: in.Binary, created: s.now()}, awsCurrent)
	if in.Deleted {
		sec.deletion = s.now().Add(30 * 24 * time.Hour)
	}
	return sec.arn
}

func (s *Server) addSecret(in Secret) *storedSecret {
	in.Suffix = or(in.Suffix, randomText(6))
	sec := &storedSecret{Secret: in, created: s.now()}
	sec.arn = "arn:" + partition(in.Region) + ":secretsmanager:" + in.Region + ":" + in.Account + ":secret:" + in.Name + "-" + in.Suffix
	s.secrets = append(s.secrets, sec)
	return sec
}

// RotateSecret gives a secret, named by name or ARN, a new current version; the old one becomes AWSPREVIOUS.
// It returns the new version's id. An unknown secret is a mistake of the test, and panics.
func (s *Server) RotateSecret(nameOrARN, value string) (versionID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := &version{id: randomID(), text: value, created: s.now()}
	s.mustSecret(nameOrARN).put(v, awsCurrent)
	return v.id
}

// SetStage attaches a stage to a version of a secret.
func (s *Server) SetStage(nameOrARN, stage, versionID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sec := s.mustSecret(nameOrARN)
	v := sec.byID(versionID)
	if v == nil {
		panic("fakeaws: no version " + versionID + " of secret " + nameOrARN)
	}
	sec.move(stage, v)
}

func (s *Server) mustSecret(nameOrARN string) *storedSecret {
	for _, sec := range s.secrets {
		if sec.Name == nameOrARN || sec.arn == nameOrARN {
			return sec
		}
	}
	panic("fakeaws: no secret " + nameOrARN)
}

// put adds a version with stages, which it takes from the others.
func (sec *storedSecret) put(v *version, stages ...string) {
	sec.versions = append(sec.versions, v)
	for _, stage := range stages {
		sec.move(stage, v)
	}
}

// move gives a stage to v. What loses AWSCURRENT becomes AWSPREVIOUS.
func (sec *storedSecret) move(stage string, v *version) {
	old := sec.staged(stage)
	if old == v {
		return
	}
	if old != nil {
		old.drop(stage)
	}
	if v != nil {
		v.stages = append(v.stages, stage)
	}
	if stage == awsCurrent && old != nil {
		sec.move(awsPrevious, old)
	}
}

func (v *version) drop(stage string) {
	v.stages = slices.DeleteFunc(v.stages, func(s string) bool { return s == stage })
}

func (sec *storedSecret) staged(stage string) *version {
	return sec.find(func(v *version) bool { return slices.Contains(v.stages, stage) })
}

func (sec *storedSecret) byID(id string) *version {
	return sec.find(func(v *version) bool { return v.id == id })
}

func (sec *storedSecret) find(is func(*version) bool) *version {
	if i := slices.IndexFunc(sec.versions, is); i >= 0 {
		return sec.versions[i]
	}
	return nil
}

var (
	secretName = regexp.MustCompile(`^[A-Za-z0-9/_+=.@!-]{1,512}$`)
	// What ends like this is taken for a complete ARN, also when it is a name without its suffix:
	// https://docs.aws.amazon.com/secretsmanager/latest/userguide/troubleshoot.html#ARN_secretnamehyphen
	arnSuffix = regexp.MustCompile(`-[A-Za-z0-9]{6}$`)
)

// lookup finds a secret of the request's region by name, ARN or partial ARN, and authorises the action.
func (s *Server) lookup(r *request, id string) (*storedSecret, error) {
	r.call.Resources = []string{id}
	action := "secretsmanager:" + r.op
	var found *storedSecret
	if rest, isARN := strings.CutPrefix(id, "arn:"); isARN {
		part := strings.SplitN(rest, ":", 6)
		if len(part) != 6 || part[1] != "secretsmanager" || part[4] != "secret" {
			return nil, &apiError{code: "ValidationException", message: "Invalid ARN: " + id}
		}
		found = s.secretWhere(r.region, func(sec *storedSecret) bool {
			partial := !arnSuffix.MatchString(id) && strings.TrimSuffix(sec.arn, "-"+sec.Suffix) == id
			return sec.arn == id || partial
		})
	} else if !secretName.MatchString(id) {
		return nil, &apiError{code: "ValidationException",
			message: "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!"}
	} else {
		found = s.secretWhere(r.region, func(sec *storedSecret) bool { return sec.Name == id && sec.Account == r.who.account })
	}
	aliases := []string{}
	if found != nil {
		aliases = append(aliases, found.arn, found.Name)
	}
	if err := s.authorize(r, action, id, aliases...); err != nil {
		return nil, err
	}
	if found == nil {
		return nil, &apiError{code: "ResourceNotFoundException", message: "Secrets Manager can't find the specified secret."}
	}
	if r.fromOutside(found.Account, found.Shared) {
		return nil, otherAccount(r, action, id)
	}
	return found, nil
}

func (s *Server) secretWhere(region string, is func(*storedSecret) bool) *storedSecret {
	for _, sec := range s.secrets {
		if sec.Region == region && is(sec) {
			return sec
		}
	}
	return nil
}

type getSecretValueInput struct{ SecretId, VersionId, VersionStage string }

func (s *Server) getSecretValue(r *request, in getSecretValueInput) (any, error) {
	r.call.Stage, r.call.VersionID = in.VersionStage, in.VersionId
	if n := len(in.VersionId); n != 0 && (n < 32 || n > 64) {
		return nil, &apiError{code: "ValidationException", message: "1 validation error detected: Value '" + in.VersionId +
			"' at 'versionId' failed to satisfy constraint: Member must have length between 32 and 64"}
	}
	sec, err := s.lookup(r, in.SecretId)
	if err != nil {
		return nil, err
	}
	if !sec.deletion.IsZero() {
		return nil, markedForDeletion()
	}
	v, err := sec.choose(in)
	if err != nil {
		return nil, err
	}
	switch sec.KMS {
	case KMSBroken:
		return nil, &apiError{code: "DecryptionFailure",
			message: "Secrets Manager can't decrypt the protected secret text using the provided KMS key."}
	case KMSDenied:
		return nil, &apiError{code: "AccessDeniedException", message: "Access to KMS is not allowed"}
	}
	out := map[string]any{"ARN": sec.arn, "Name": sec.Name, "VersionId": v.id, "VersionStages": slices.Clone(v.stages), "CreatedDate": epoch(v.created)}
	if v.binary != nil {
		out["SecretBinary"] = v.binary
	} else {
		out["SecretString"] = v.text
	}
	return out, nil
}

func (sec *storedSecret) choose(in getSecretValueInput) (*version, error) {
	if in.VersionId == "" {
		stage := or(in.VersionStage, awsCurrent)
		if v := sec.staged(stage); v != nil {
			return v, nil
		}
		return nil, &apiError{code: "ResourceNotFoundException",
			message: "Secrets Manager can't find the specified secret value for staging label: " + stage}
	}
	v := sec.byID(in.VersionId)
	if v == nil {
		return nil, &apiError{code: "ResourceNotFoundException",
			message: "Secrets Manager can't find the specified secret value for VersionId: " + in.VersionId}
	}
	if in.VersionStage != "" && !slices.Contains(v.stages, in.VersionStage) {
		return nil, &apiError{code: "InvalidRequestException",
			message: "You provided a VersionStage that is not associated to the provided VersionId."}
	}
	return v, nil
}

func (s *Server) describeSecret(r *request, in struct{ SecretId string }) (any, error) {
	sec, err := s.lookup(r, in.SecretId)
	if err != nil {
		return nil, err
	}
	stages := map[string][]string{}
	for _, v := range sec.versions {
		if len(v.stages) > 0 {
			stages[v.id] = slices.Clone(v.stages)
		}
	}
	out := map[string]any{"ARN": sec.arn, "Name": sec.Name, "CreatedDate": epoch(sec.created), "VersionIdsToStages": stages}
	if !sec.deletion.IsZero() {
		out["DeletedDate"] = epoch(sec.deletion)
	}
	return out, nil
}

func markedForDeletion() error {
	return &apiError{code: "InvalidRequestException",
		message: "You can't perform this operation on the secret because it was marked for deletion."}
}

// epoch is the form of a time in JSON 1.1.
func epoch(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
