package resolve

import (
	"strings"

	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/secretref"
)

// hint says what to do about a failure of a kind, for this reference.
func hint(q Request, k fault.Kind) string {
	ref := q.Ref
	if ref.Service == secretref.S3 {
		return objectHint(q, k)
	}
	ssm := ref.Service == secretref.SSM
	switch k {
	case fault.NotFound:
		switch {
		case ssm && ref.Selector != "":
			return "compare the name, the region and the version or label"
		case ssm:
			return "compare the name and the region"
		case ref.EndsLikeSuffix() && ref.Account != "":
			return "compare the name and the region; where the name itself ends in a hyphen and six characters, use the full ARN with its random end"
		case ref.VersionStage != "" || ref.VersionID != "":
			return "compare the name, the region, the stage and the version id with aws secretsmanager list-secret-version-ids"
		case strings.HasPrefix(ref.Name, "/"):
			return "compare the name and the region; a parameter of SSM is named by its ARN here"
		}
		return "compare the name and the region"
	case fault.Denied:
		h := "allow " + action(ref.Service) + " on it for " + who(q)
		if ref.EndsLikeSuffix() {
			h += "; a policy that ends in -?????? matches the whole ARN"
		}
		return h
	case fault.BadReference:
		return "compare the reference with the ARN that the console shows"
	case fault.Decrypt:
		return "allow kms:Decrypt on its key for " + who(q) + ", and see that the key is enabled"
	}
	return ""
}

func action(s secretref.Service) string {
	if s == secretref.SSM {
		return "ssm:GetParameters"
	}
	return "secretsmanager:GetSecretValue"
}

func who(q Request) string {
	if q.Role.RoleARN != "" {
		return "role " + q.Role.RoleARN[strings.LastIndexByte(q.Role.RoleARN, '/')+1:]
	}
	return "this host's role"
}
