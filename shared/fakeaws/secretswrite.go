package fakeaws

import (
	"slices"
	"time"
)

// The write operations of Secrets Manager, as far as secrets for tests need them.

type secretContent struct {
	SecretString       *string
	SecretBinary       []byte
	ClientRequestToken string
	VersionStages      []string
}

func (c secretContent) check() error {
	if c.SecretString != nil && c.SecretBinary != nil {
		return &apiError{code: "InvalidParameterException", message: "You can't specify both a binary secret value and a string secret value in the same secret."}
	}
	if size := len(c.SecretBinary); size > 65536 || c.SecretString != nil && len(*c.SecretString) > 65536 {
		return &apiError{code: "InvalidParameterException", message: "The secret value must have length less than or equal to 65536."}
	}
	return nil
}

func (c secretContent) version(now time.Time) *version {
	v := &version{id: or(c.ClientRequestToken, randomID()), binary: c.SecretBinary, created: now}
	if c.SecretString != nil {
		v.text = *c.SecretString
	}
	return v
}

func (s *Server) createSecret(r *request, in struct {
	Name string
	secretContent
}) (any, error) {
	r.call.Resources = []string{in.Name}
	if !secretName.MatchString(in.Name) {
		return nil, &apiError{code: "ValidationException",
			message: "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!"}
	}
	if err := s.authorize(r, "secretsmanager:CreateSecret", in.Name); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	old := s.secretWhere(r.region, func(sec *storedSecret) bool { return sec.Name == in.Name && sec.Account == r.who.account })
	switch {
	case old != nil && !old.deletion.IsZero():
		return nil, &apiError{code: "InvalidRequestException",
			message: "You can't create this secret because a secret with this name is already scheduled for deletion."}
	case old != nil:
		return nil, &apiError{code: "ResourceExistsException",
			message: "The operation failed because the secret " + in.Name + " already exists."}
	}
	sec := s.addSecret(Secret{Name: in.Name, Region: r.region, Account: r.who.account})
	out := map[string]any{"ARN": sec.arn, "Name": sec.Name}
	if in.SecretString != nil || in.SecretBinary != nil {
		v := in.version(s.now())
		sec.put(v, awsCurrent)
		out["VersionId"] = v.id
	}
	return out, nil
}

func (s *Server) putSecretValue(r *request, in struct {
	SecretId string
	secretContent
}) (any, error) {
	sec, err := s.lookup(r, in.SecretId)
	if err != nil {
		return nil, err
	}
	if !sec.deletion.IsZero() {
		return nil, markedForDeletion()
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	v := in.version(s.now())
	if old := sec.byID(v.id); old != nil { // a retry of the same call changes nothing
		if old.text != v.text || !slices.Equal(old.binary, v.binary) {
			return nil, &apiError{code: "ResourceExistsException",
				message: "You can't use ClientRequestToken " + v.id + " because that value is already in use for a version of secret " + sec.arn + "."}
		}
		v = old
	} else {
		stages := in.VersionStages
		if len(stages) == 0 || sec.staged(awsCurrent) == nil && !slices.Contains(stages, awsCurrent) {
			stages = append(slices.Clone(stages), awsCurrent)
		}
		sec.put(v, stages...)
	}
	return map[string]any{"ARN": sec.arn, "Name": sec.Name, "VersionId": v.id, "VersionStages": slices.Clone(v.stages)}, nil
}

func (s *Server) updateSecretVersionStage(r *request, in struct{ SecretId, VersionStage, MoveToVersionId, RemoveFromVersionId string }) (any, error) {
	sec, err := s.lookup(r, in.SecretId)
	if err != nil {
		return nil, err
	}
	if !sec.deletion.IsZero() {
		return nil, markedForDeletion()
	}
	var to *version
	if in.MoveToVersionId != "" {
		if to = sec.byID(in.MoveToVersionId); to == nil {
			return nil, &apiError{code: "ResourceNotFoundException",
				message: "Secrets Manager can't find the specified secret value for VersionId: " + in.MoveToVersionId}
		}
	}
	from := sec.staged(in.VersionStage)
	if from != nil && from.id != in.RemoveFromVersionId && from != to {
		return nil, &apiError{code: "InvalidParameterException", message: "The parameter RemoveFromVersionId can't be empty. Staging label " +
			in.VersionStage + " is currently attached to version " + from.id + ", so you must explicitly reference that version in RemoveFromVersionId."}
	}
	if to == nil && in.VersionStage == awsCurrent {
		return nil, &apiError{code: "InvalidParameterException", message: "You can only move staging label AWSCURRENT to a different secret version. It can't be completely removed."}
	}
	sec.move(in.VersionStage, to)
	return map[string]any{"ARN": sec.arn, "Name": sec.Name}, nil
}

func (s *Server) deleteSecret(r *request, in struct {
	SecretId                   string
	ForceDeleteWithoutRecovery bool
	RecoveryWindowInDays       int
}) (any, error) {
	sec, err := s.lookup(r, in.SecretId)
	if err != nil {
		return nil, err
	}
	days := in.RecoveryWindowInDays
	if days == 0 {
		days = 30
	}
	sec.deletion = s.now().Add(time.Duration(days) * 24 * time.Hour)
	if in.ForceDeleteWithoutRecovery {
		sec.deletion = s.now()
		s.secrets = slices.DeleteFunc(s.secrets, func(x *storedSecret) bool { return x == sec })
	}
	return map[string]any{"ARN": sec.arn, "Name": sec.Name, "DeletionDate": epoch(sec.deletion)}, nil
}
