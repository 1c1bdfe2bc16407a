package credhelper

import (
	"path/filepath"
	"strings"

	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/safefile"
)

// maxProfiles bounds what is read of a configuration file of AWS.
const maxProfiles = 1 << 20

// awsProfile returns the profile that the AWS SDK would use, and where the credentials would come from, by its documented
// order. Only files and variables are looked at, and of them only names.
func awsProfile(cfg *config.Config, getenv func(string) string) (profile, source string) {
	profile = cfg.AWS.Profile
	from := "profile under [aws]"
	for _, name := range []string{"AWS_PROFILE", "AWS_DEFAULT_PROFILE"} {
		if v := getenv(name); profile == "" && v != "" {
			profile, from = v, name
		}
	}
	shown := profile + " (" + from + ")"
	if profile == "" {
		profile, shown = "default", "default"
	}
	// Keys in the environment come before a profile, unless the configuration names it.
	if cfg.AWS.Profile == "" {
		switch {
		case getenv("AWS_ACCESS_KEY_ID") != "" && getenv("AWS_SECRET_ACCESS_KEY") != "":
			return shown, "access key in the environment (AWS_ACCESS_KEY_ID)"
		case getenv("AWS_WEB_IDENTITY_TOKEN_FILE") != "":
			return shown, "web identity in the environment (AWS_WEB_IDENTITY_TOKEN_FILE)"
		}
	}
	if s := profileSource(profile, getenv); s != "" {
		return shown, s
	}
	switch {
	case getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != "" || getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI") != "":
		return shown, "the container's endpoint (AWS_CONTAINER_CREDENTIALS_...)"
	case strings.EqualFold(getenv("AWS_EC2_METADATA_DISABLED"), "true"):
		return shown, "none: no key, no profile with credentials, and AWS_EC2_METADATA_DISABLED is true"
	}
	return shown, "the role of the instance, from the instance metadata service"
}

// profileSource says which keys of a profile give credentials; "" when none does.
func profileSource(profile string, getenv func(string) string) string {
	aws := filepath.Join(getenv("HOME"), ".aws")
	for _, f := range []struct{ path, section string }{
		{orElse(getenv("AWS_SHARED_CREDENTIALS_FILE"), filepath.Join(aws, "credentials")), profile},
		{orElse(getenv("AWS_CONFIG_FILE"), filepath.Join(aws, "config")), "profile " + profile},
	} {
		keys := sectionKeys(f.path, f.section, profile)
		for _, k := range []struct{ key, what string }{
			{"role_arn", "a role that the profile assumes (role_arn)"},
			{"sso_session", "IAM Identity Center (sso_session)"},
			{"sso_start_url", "IAM Identity Center (sso_start_url)"},
			{"credential_process", "a program (credential_process)"},
			{"aws_access_key_id", "an access key (aws_access_key_id)"},
		} {
			if !keys[k.key] {
				continue
			}
			source := k.what + " of profile " + profile + " in " + f.path
			if strings.HasPrefix(k.key, "sso_") {
				source += "; aws sso login --profile " + profile + " renews them"
			}
			return source
		}
	}
	return ""
}

// sectionKeys returns the names of the keys in one section of an INI file. "default" stands with and without "profile".
func sectionKeys(path, section, profile string) map[string]bool {
	f, err := safefile.Read(path, safefile.Options{Max: maxProfiles})
	if err != nil {
		return nil
	}
	keys, in := map[string]bool{}, false
	for line := range strings.Lines(string(f.Data)) {
		trimmed := strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(trimmed, "["); ok {
			name, _, _ = strings.Cut(name, "]")
			name = strings.Join(strings.Fields(name), " ")
			in = name == section || profile == "default" && name == profile
			continue
		}
		if key, _, ok := strings.Cut(trimmed, "="); in && ok && line[0] != ' ' && line[0] != '\t' {
			keys[strings.ToLower(strings.TrimSpace(key))] = true
		}
	}
	return keys
}
