package firelens

import (
	"slices"
	"strings"
)

// Secret reports whether an option of FireLens may hold a secret, under which name it is given by reference, and what is to be
// stored then.
func Secret(name, value string) (option, form string, secret bool) {
	key, before, _ := strings.Cut(strings.TrimSpace(name), " ")
	switch strings.ToLower(key) {
	case "apikey", "licensekey", "license_key", "api_key", "splunk_token", "http_passwd", "bearer_token", "cloud_auth", "http_api_key", "shared_key",
		"password", "tls.key_file", "key_file", "tls.key_passwd", "oauth2.client_secret", "rdkafka.sasl.password":
		return name, "", true
	case "header":
		header, rest, _ := strings.Cut(strings.TrimSpace(before+" "+value), " ")
		if strings.EqualFold(header, "Content-Type") {
			return name, "", false
		}
		if before == "" || strings.Contains(before, " ") {
			form = "the value of the header " + header + ", without its name"
		}
		return "Header " + header, form, rest != ""
	case "uri":
		return name, "", HasToken(value)
	}
	return name, "", false
}

// InAddress reports whether an option of FireLens is a part of an address in which a token may stand. It cannot be given by reference:
// the router's own option of the whole address can.
func InAddress(name, value string) bool {
	return slices.Contains([]string{"logs_uri", "path", "endpoint", "base_uri", "logdna_endpoint"}, strings.ToLower(strings.TrimSpace(name))) && HasToken(value)
}

// HasToken reports whether a path may have a token in it: it has a query, or a part that is long.
func HasToken(value string) bool {
	const longest = 15
	return strings.Contains(value, "?") || slices.ContainsFunc(strings.Split(value, "/"), func(part string) bool {
		return len(part) > longest && !strings.Contains(part, ".")
	})
}
