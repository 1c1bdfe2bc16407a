// Package credsource says where the AWS SDK takes the host's own credentials from, without a call to anybody.
//
// Use it to explain a configuration to a person. It reads the environment and the shared configuration files of AWS, in
// the order of the SDK, and returns no credential. It does not say whether the credentials are valid.
package credsource

import (
	"path/filepath"
	"strings"

	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/safefile"
)

// maxFile is the largest shared configuration file that is read, in bytes.
const maxFile = 1 << 20

// Find describes the source in one line, as in "profile ci: role_arn ... with source_profile base". The settings are the
// [aws] table; getenv is that of the process that will ask AWS.
func Find(settings config.AWS, getenv func(string) string) string {
	if settings.Profile == "" {
		if first(getenv, "AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY") != "" && first(getenv, "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY") != "" {
			return "environment: AWS_ACCESS_KEY_ID"
		}
		if file := getenv("AWS_WEB_IDENTITY_TOKEN_FILE"); file != "" {
			return "web identity: role " + getenv("AWS_ROLE_ARN") + " with the token in " + file
		}
	}
	files, unread := read(getenv)
	name := Profile(settings, getenv)
	keys := files[name]
	var text string
	switch {
	case keys == nil && (settings.Profile != "" || first(getenv, "AWS_PROFILE", "AWS_DEFAULT_PROFILE") != ""):
		text = "profile " + name + ", which does not exist"
	case keys == nil || ofProfile(keys) == "":
		text = ofHost(getenv)
	default:
		text = "profile " + name + ": " + ofProfile(keys)
		if role := keys["role_arn"]; role != "" && keys["web_identity_token_file"] == "" {
			text = "profile " + name + ": role " + role + " with " + ofProfile(keys)
		}
	}
	for _, err := range unread {
		text += " (" + err.Error() + ")"
	}
	return text
}

// Profile returns the name of the profile that is used: that of the [aws] table, else that of the environment.
func Profile(settings config.AWS, getenv func(string) string) string {
	if settings.Profile != "" {
		return settings.Profile
	}
	if name := first(getenv, "AWS_PROFILE", "AWS_DEFAULT_PROFILE"); name != "" {
		return name
	}
	return "default"
}

// ofProfile says where a profile's credentials come from; "" when it has none.
func ofProfile(keys map[string]string) string {
	switch {
	case keys["source_profile"] != "":
		return "source_profile " + keys["source_profile"]
	case keys["aws_access_key_id"] != "" && keys["aws_secret_access_key"] != "":
		return "aws_access_key_id"
	case keys["credential_source"] != "":
		return "credential_source " + keys["credential_source"]
	case keys["web_identity_token_file"] != "":
		return "web identity, role " + keys["role_arn"] + " with the token in " + keys["web_identity_token_file"]
	case keys["sso_session"] != "":
		return "IAM Identity Center, sso_session " + keys["sso_session"]
	case keys["sso_start_url"] != "":
		return "IAM Identity Center, " + keys["sso_start_url"]
	case keys["credential_process"] != "":
		return "credential_process" // its arguments may be secret
	}
	return ""
}

// ofHost says where a process without keys and profile gets credentials.
func ofHost(getenv func(string) string) string {
	switch {
	case getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != "":
		return "container: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
	case getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI") != "":
		return "container: AWS_CONTAINER_CREDENTIALS_FULL_URI"
	case strings.EqualFold(getenv("AWS_EC2_METADATA_DISABLED"), "true"):
		return "none: AWS_EC2_METADATA_DISABLED switches the instance role off"
	}
	return "instance role, from the instance metadata service"
}

func first(getenv func(string) string, names ...string) string {
	for _, name := range names {
		if v := getenv(name); v != "" {
			return v
		}
	}
	return ""
}

// read returns the keys of each profile. The credentials file wins over the configuration file, as in the SDK.
func read(getenv func(string) string) (profiles map[string]map[string]string, unread []error) {
	profiles = map[string]map[string]string{}
	for _, f := range []struct{ variable, name string }{
		{"AWS_CONFIG_FILE", "config"}, {"AWS_SHARED_CREDENTIALS_FILE", "credentials"},
	} {
		path := getenv(f.variable)
		if path == "" {
			path = filepath.Join(getenv("HOME"), ".aws", f.name)
		}
		file, err := safefile.Read(path, safefile.Options{Max: maxFile})
		switch {
		case err == nil:
			parse(profiles, string(file.Data), f.name == "config")
		case !safefile.IsMissing(err):
			unread = append(unread, err)
		}
	}
	return profiles, unread
}

// parse adds the keys of one file. A line that is indented belongs to the key above it and is left out.
func parse(profiles map[string]map[string]string, text string, prefixed bool) {
	var keys map[string]string
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';':
		case trimmed[0] == '[':
			name, _, _ := strings.Cut(trimmed[1:], "]")
			if name, keys = profileName(strings.TrimSpace(name), prefixed), nil; name != "" {
				if profiles[name] == nil {
					profiles[name] = map[string]string{}
				}
				keys = profiles[name]
			}
		case keys != nil && line[0] != ' ' && line[0] != '\t':
			if key, value, ok := strings.Cut(trimmed, "="); ok {
				keys[strings.ToLower(strings.TrimSpace(key))] = strings.TrimSpace(value)
			}
		}
	}
}

// profileName returns the profile of a section; "" for a section of another kind.
func profileName(section string, prefixed bool) string {
	kind, name, ok := strings.Cut(section, " ")
	switch {
	case !ok && (!prefixed || section == "default"):
		return section
	case prefixed && kind == "profile":
		return strings.TrimSpace(name)
	}
	return ""
}
