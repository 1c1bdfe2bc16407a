package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"
	"github.com/secretref/secretref/shared/secretref"
	"github.com/secretref/secretref/shared/size"
)

// key is one key that a table knows: its name, how to write it in TOML, and what takes its value. What set returns reads
// on after the key's name, as in "region is an integer, not a string".
type key struct {
	name    string
	example string
	set     func(value) error
}

// tableNames returns the tables, in the order in which they are listed for people.
func tableNames() []string {
	return []string{"aws", "cache", "accounts", "buckets", "ecr", "registries", "logs", "secrets"}
}

// otherTables are those that say nothing of a registry.
func otherTables() []string {
	return slices.DeleteFunc(tableNames(), func(name string) bool { return name == "registries" })
}

func topKeys(c *Config) []key {
	return []key{
		{"not_found", `"error" or "anonymous"`, oneOf(&c.NotFound, NotFoundError, NotFoundAnonymous)},
	}
}

// tableKeys returns the keys of a table that there is once.
func tableKeys(c *Config, table string) []key {
	a, p, l := &c.AWS, &c.Cache.Policy, &c.Logs
	switch table {
	case "aws":
		return append(roleKeys(&a.RoleARN, &a.ExternalID),
			regionKey(&a.Region),
			key{"profile", `"default"`, profile(&a.Profile)},
			key{"endpoint_url", `"https://vpce.example.com"`, endpoint(&a.EndpointURL, "http", "https")},
			key{"sts_endpoint_url", `"https://vpce-sts.example.com"`, endpoint(&a.STSEndpointURL, "http", "https")},
			key{"timeout", `"10s"`, duration(&a.Timeout, time.Millisecond, 5*time.Minute)},
			key{"ca_bundle", `"/etc/ssl/certs/ca.pem"`, absolute(&a.CABundle)},
			key{"use_fips_endpoint", "true", boolean(&a.UseFIPS)},
			key{"use_dualstack_endpoint", "true", boolean(&a.UseDualstack)},
			key{"https_proxy", `"http://proxy.example.com:3128"`, proxy(&a.HTTPSProxy)},
			key{"no_proxy", `"169.254.169.254,.internal"`, hostList(&a.NoProxy)},
			key{"audit", "true", boolean(&a.Audit)},
		)
	case "cache":
		return []key{
			{"ttl", `"5m"`, duration(&p.TTL, 0, 12*time.Hour)},
			{"stale", `"1h"`, duration(&p.Stale, 0, 7*24*time.Hour)},
			{"store", `"auto" or "off"`, oneOf(&c.Cache.Store, StoreAuto, StoreOff)},
		}
	case "ecr":
		return append(roleKeys(&c.ECR.RoleARN, &c.ECR.ExternalID), key{"enabled", "true", boolean(&c.ECR.Enabled)})
	case "logs":
		return []key{
			{"state_dir", `"/var/lib/secretref"`, absolute(&l.StateDir)},
			{"spool_max_bytes", `"256MiB"`, byteSize(&l.SpoolMaxBytes, 1)},
			{"spool_total", `"2GiB"`, byteSize(&l.SpoolTotal, 1)},
			{"spool_min_free", `"1GiB"`, byteSize(&l.SpoolMinFree, 0)},
			{"read_logs", "false", boolean(&l.ReadLogs)},
			{"history_total", `"4GiB"`, byteSize(&l.HistoryTotal, 0)},
			{"keep_ended", `"168h"`, duration(&l.KeepEnded, time.Minute, 365*24*time.Hour)},
			{"allow_references", `["arn:aws:secretsmanager:*:*:secret:logs/*"]`, globs(&l.AllowReferences)},
			{"allow_routers", `["https://*.splunk.example.com:*"]`, globs(&l.AllowRouters, "://", "arn:")},
			{"allow_roles", `["arn:aws:iam::111122223333:role/logs-*"]`, globs(&l.AllowRoles, ":role/")},
			{"allow_files", `["/etc/ssl", "/etc/pki"]`, directories(&l.AllowFiles)},
			{"allow_options", "false", boolean(&l.AllowOptions)},
			{"default_destination", `"prod"`, checked(&l.DefaultDestination, isDestinationName, "a name of a destination (letters, digits and ._-)")},
			{"metrics_per_container", "false", boolean(&l.MetricsPerContainer)},
			{"metrics_address", `"127.0.0.1:9475"`, address(&l.MetricsAddress)},
			{"instance_metadata", "false", boolean(&l.InstanceMetadata)},
			{"hostname", `"web-1.example.com"`, checked(&l.Hostname, isHostname, "a host name (letters, digits and ._-)")},
		}
	case "secrets":
		return []key{
			{"allow_references", `["arn:aws:secretsmanager:*:*:secret:app/*"]`, globs(&c.Secrets.AllowReferences)},
			{"values_dir", `"/run/secretref/values"`, absolute(&c.Secrets.ValuesDir)},
			{"volumes_dir", `"/run/secretref/volumes"`, absolute(&c.Secrets.VolumesDir)},
		}
	}
	return nil
}

func accountKeys(r *Registry) []key { return roleKeys(&r.RoleARN, &r.ExternalID) }

func bucketKeys(r *Registry) []key {
	return append(roleKeys(&r.RoleARN, &r.ExternalID), regionKey(&r.Region))
}

func registryKeys(r *Registry) []key {
	return append(roleKeys(&r.RoleARN, &r.ExternalID),
		key{"credentialsParameter", `"arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/registry-AbCdEf"`, reference(&r.CredentialsParameter)},
		key{"username", `"robot"`, text(&r.Username)},
		regionKey(&r.Region),
		key{"helper", `"pass"`, helper(&r.Helper)},
		key{"ecr", "true", boolean(&r.ECR)},
	)
}

func roleKeys(role, externalID *string) []key {
	return []key{
		{"role_arn", `"arn:aws:iam::111122223333:role/registry-reader"`, checked(role, IsRoleARN, "the ARN of a role")},
		{"external_id", `"fleet-7"`, checked(externalID, isExternalID, "an external id (2 to 1224 letters, digits and _+=,.@:/-)")},
	}
}

func regionKey(p *string) key {
	return key{"region", `"eu-west-1"`, checked(p, secretref.IsRegion, "an AWS region")}
}

func find(keys []key, name string) (key, bool) {
	i := slices.IndexFunc(keys, func(k key) bool { return k.name == name })
	if i < 0 {
		return key{}, false
	}
	return keys[i], true
}

func names(keys []key) []string {
	var list []string
	for _, k := range keys {
		list = append(list, k.name)
	}
	return list
}

// str returns the text of a string that is neither empty nor odd.
func (v value) str() (string, error) {
	switch {
	case v.kind != unstable.String:
		return "", fmt.Errorf("is %s, not a string", v.typeName())
	case v.text == "":
		return "", errors.New("is empty")
	case len(v.text) > 4096:
		return "", errors.New("is longer than 4096 bytes")
	case strings.IndexFunc(v.text, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0:
		return "", errors.New("has a control character in it")
	}
	return v.text, nil
}

func text(p *string) func(value) error {
	return checked(p, func(s string) bool { return strings.Trim(s, " \t\"'") == s }, "free of white space and quotes at its ends")
}

// profile takes the name of a profile.
func profile(p *string) func(value) error {
	return func(v value) error {
		if name, ok := strings.CutPrefix(v.text, "profile "); ok && v.kind == unstable.String {
			return fmt.Errorf("is %q; leave out the word profile, as in %q", v.text, strings.TrimSpace(name))
		}
		return text(p)(v)
	}
}

// hostList takes hosts with commas between them. A blank or a scheme in one would make it match nothing.
func hostList(p *string) func(value) error {
	return func(v value) error {
		s, err := v.str()
		if err != nil {
			return err
		}
		for host := range strings.SplitSeq(s, ",") {
			switch host = strings.TrimSpace(host); {
			case host == "":
				return fmt.Errorf("is %q, which has an empty host in it", s)
			case strings.ContainsAny(host, " ;\"'"):
				return fmt.Errorf("has the host %q, which is not one host; put commas between hosts", host)
			case strings.Contains(host, "://") || strings.Contains(host, "@"):
				return errors.New("has a URL in it; write hosts without a scheme")
			}
		}
		*p = s
		return nil
	}
}

// checked takes a string for which ok holds; what says what that is.
func checked(p *string, ok func(string) bool, what string) func(value) error {
	return func(v value) error {
		s, err := v.str()
		if err != nil {
			return err
		}
		if !ok(s) {
			return fmt.Errorf("is %q, which is not %s", s, what)
		}
		*p = s
		return nil
	}
}

func oneOf[T ~string](p *T, known ...T) func(value) error {
	return func(v value) error {
		s, err := v.str()
		if err != nil {
			return err
		}
		if !slices.Contains(known, T(s)) {
			return fmt.Errorf("is %q", s)
		}
		*p = T(s)
		return nil
	}
}

func boolean(p *bool) func(value) error {
	return func(v value) error {
		if v.kind != unstable.Bool {
			return fmt.Errorf("is %s, not a boolean", v.typeName())
		}
		*p = v.text == "true"
		return nil
	}
}

// duration takes a Go duration, as in "1h30m".
func duration(p *time.Duration, least, most time.Duration) func(value) error {
	return func(v value) error {
		s, err := v.str()
		if err != nil {
			return err
		}
		d, err := time.ParseDuration(s)
		switch {
		case err != nil:
			return fmt.Errorf("is %q, which is not a duration (a number and ms, s, m or h)", s)
		case d < 0:
			return fmt.Errorf("is %q, which is negative", s)
		case d < least || d > most:
			return fmt.Errorf("is %q, which is not between %s and %s", s, least, most)
		}
		*p = d
		return nil
	}
}

// byteSize takes a size: see package size.
func byteSize(p *int64, least int64) func(value) error {
	return func(v value) error {
		s, err := v.str()
		if err != nil {
			return err
		}
		n, err := size.Parse(s)
		switch {
		case errors.Is(err, size.ErrTooLarge):
			return fmt.Errorf("is %q, which is too large", s)
		case err != nil:
			return fmt.Errorf("is %q, which %w", s, err)
		case n < least:
			return fmt.Errorf("is %q, which is too small", s)
		}
		*p = n
		return nil
	}
}

func absolute(p *string) func(value) error {
	return checked(p, func(s string) bool { return filepath.IsAbs(s) && filepath.Clean(s) == s }, "a clean absolute path")
}

// endpoint takes a URL that ends with its path.
func endpoint(p *string, schemes ...string) func(value) error {
	return func(v value) error {
		s, err := v.str()
		if err != nil {
			return err
		}
		// A text with @ is not repeated: a password may stand before it.
		if strings.Contains(s, "@") {
			return errors.New("has user info in it, and no password belongs here")
		}
		u, err := url.Parse(s)
		if err != nil || !slices.Contains(schemes, u.Scheme) || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" {
			return fmt.Errorf("is %q, which is not a URL with %s and a host, without a query", s, strings.Join(schemes, ", "))
		}
		if !isAddressHost(u.Hostname()) {
			return fmt.Errorf("is %q, whose host is not a host name or an IP address", s)
		}
		if port := u.Port(); port != "" && !isPort(port) || strings.HasSuffix(u.Host, ":") {
			return fmt.Errorf("is %q, whose port is not a number from 1 to 65535", s)
		}
		*p = s
		return nil
	}
}

// proxy takes the URL of a proxy. A path in it would be ignored.
func proxy(p *string) func(value) error {
	take := endpoint(p, "http", "https", "socks5", "socks5h")
	return func(v value) error {
		old := *p
		if err := take(v); err != nil {
			return err
		}
		if u, err := url.Parse(*p); err != nil || strings.Trim(u.Path, "/") != "" {
			*p = old
			return fmt.Errorf("is %q, which is not the address of a proxy; write it without a path", v.text)
		}
		return nil
	}
}

// address takes host:port or :port, and an empty string for none.
func address(p *string) func(value) error {
	return func(v value) error {
		if v.kind == unstable.String && v.text == "" {
			*p = ""
			return nil
		}
		s, err := v.str()
		if err != nil {
			return err
		}
		i := strings.LastIndexByte(s, ':')
		if i < 0 || !isPort(s[i+1:]) {
			return fmt.Errorf("is %q, which is not HOST:PORT", s)
		}
		host := s[:i]
		if inner, ok := strings.CutPrefix(host, "["); ok {
			host, ok = strings.CutSuffix(inner, "]")
			if a, err := netip.ParseAddr(host); !ok || err != nil || !a.Is6() {
				return fmt.Errorf("is %q, which has no IPv6 address in its brackets", s)
			}
		} else if strings.Contains(host, ":") {
			return fmt.Errorf("is %q, which is not HOST:PORT; an IPv6 address stands in brackets", s)
		} else if host != "" && !isHostname(host) {
			return fmt.Errorf("is %q, which is not HOST:PORT", s)
		}
		*p = s
		return nil
	}
}

// globs takes an array of patterns, each "*" or with one of must in it. The empty array stays apart from none given.
func globs(p *[]string, must ...string) func(value) error {
	fits := func(s string) bool {
		return len(must) == 0 || slices.ContainsFunc(must, func(m string) bool { return strings.Contains(s, m) })
	}
	return func(v value) error {
		if v.kind != unstable.Array {
			return fmt.Errorf("is %s, not an array of strings in brackets", v.typeName())
		}
		list := []string{}
		for i, item := range v.items {
			s, err := item.str()
			if err != nil {
				return fmt.Errorf("has element %d, which %w", i+1, err)
			}
			if strings.ContainsAny(s, ",;\"'`") {
				return fmt.Errorf("has element %d, which has a comma or a quote in it; write each pattern as an element of its own", i+1)
			}
			if strings.ContainsAny(s, " \t@") && len(must) > 0 || s != strings.TrimSpace(s) || s != "*" && !fits(s) {
				return fmt.Errorf("has element %d, which is not such a pattern", i+1)
			}
			list = append(list, s)
		}
		*p = list
		return nil
	}
}

// directories takes an array of clean absolute paths.
func directories(p *[]string) func(value) error {
	return func(v value) error {
		var list []string
		if err := globs(&list)(v); err != nil {
			return err
		}
		for i, s := range list {
			if !filepath.IsAbs(s) || filepath.Clean(s) != s || s == "/" || strings.Contains(s, "*") {
				return fmt.Errorf("has element %d, which is not a clean absolute path of a directory", i+1)
			}
		}
		*p = list
		return nil
	}
}

func reference(p *secretref.Ref) func(value) error {
	return func(v value) error {
		if v.kind != unstable.String {
			return fmt.Errorf("is %s, not a string", v.typeName())
		}
		r, err := secretref.ParseCredentialsParameter(v.text)
		if err != nil {
			return err
		}
		*p = r
		return nil
	}
}

// helper takes the end of a program's name. The set of characters keeps it from being a path.
func helper(p *string) func(value) error {
	return func(v value) error {
		s, err := v.str()
		switch {
		case err != nil:
			return err
		case strings.HasPrefix(s, "docker-credential-"):
			return fmt.Errorf("is %q; leave out docker-credential-", s)
		case s == "secretref":
			return errors.New("is this program itself; name another, as in docker-credential-pass")
		case len(s) > 64 || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") != "":
			return fmt.Errorf("is %q, which is not the end of a program's name (letters, digits and ._-)", s)
		}
		*p = s
		return nil
	}
}

// IsRoleARN reports whether s is the ARN of a role. It follows the IAM reference: partition, account, and a path of slashes before the role's name.
func IsRoleARN(s string) bool {
	p := strings.Split(s, ":")
	if len(p) != 6 || p[0] != "arn" || p[2] != "iam" || p[3] != "" || !secretref.IsAccount(p[4]) {
		return false
	}
	if p[1] != "aws" && !strings.HasPrefix(p[1], "aws-") {
		return false
	}
	name, ok := strings.CutPrefix(p[5], "role/")
	return ok && len(s) <= 2048 && name != "" && !strings.HasSuffix(name, "/") && strings.IndexFunc(name, notIn("/_+=,.@-")) < 0
}

func isExternalID(s string) bool {
	return len(s) >= 2 && len(s) <= 1224 && strings.IndexFunc(s, notIn("_+=,.@:/-")) < 0
}

func isAddressHost(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil || isHostname(s)
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

func isHostname(s string) bool { return len(s) <= 255 && strings.IndexFunc(s, notIn("._-")) < 0 }

// notIn is for texts of letters, digits and extra.
func notIn(extra string) func(rune) bool {
	return func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(extra, r))
	}
}
