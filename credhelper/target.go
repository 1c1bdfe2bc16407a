package credhelper

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker-credential-helpers/credentials"

	"github.com/secretref/secretref/credhelper/payload"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/ecrhost"
	"github.com/secretref/secretref/shared/hostcache"
	"github.com/secretref/secretref/shared/registryhost"
	"github.com/secretref/secretref/shared/secret"
	"github.com/secretref/secretref/shared/secretref"
)

// Target is what answers for a registry: exactly one of Ref, ECR and Helper is set.
type Target struct {
	Name   registryhost.Name
	Rule   *config.Registry // nil when [ecr] answers
	Ref    secretref.Ref
	ECR    *ecrhost.Registry
	Helper string // suffix of another docker-credential-* program

	Username string      // for a Ref to a bare password
	Region   string      // for a Ref without one; "" = not known before AWS is asked
	Role     config.Role // who asks; zero = the host itself
}

// find returns what answers for a server URL. An error that is credentials.IsErrCredentialsNotFound means that nobody
// configured the registry.
func find(cfg *config.Config, serverURL string) (Target, error) {
	name, err := normalize(serverURL)
	if credentials.IsErrCredentialsNotFound(err) {
		return findHelper(cfg)
	}
	if err != nil {
		return Target{}, err
	}
	t := Target{Name: name, Region: cfg.AWS.Region}
	rule, ok := cfg.Rule(name)
	registry, isECR := ecrhost.Parse(name.Host)
	// A rule for every host does not keep [ecr] from answering: it stands there for the rest.
	if cfg.ECR.Enabled && isECR && (!ok || rule.Pattern.IsAny()) {
		t.ECR = &registry
		// The role under [aws] is for references: the role that pulls images is the host's, or has a place of its own.
		t.Role = config.Role{RoleARN: cfg.ECR.RoleARN, ExternalID: cfg.ECR.ExternalID}
		return t, nil
	}
	if !ok {
		return Target{}, credentials.NewErrCredentialsNotFound()
	}
	t.Rule, t.Helper = rule, rule.Helper
	own := config.Role{RoleARN: rule.RoleARN, ExternalID: rule.ExternalID}
	switch {
	case t.Helper != "":
	case rule.ECR && !isECR:
		return Target{}, fmt.Errorf("registry %s: %s says ecr = true, but this is not a host of Amazon ECR", name, rule.Origin)
	case rule.ECR:
		t.ECR, t.Role = &registry, own
	default:
		t.Ref, t.Username, t.Role = rule.CredentialsParameter, rule.Username, cfg.RoleFor(rule.CredentialsParameter, own)
		t.Region = cfg.RegionFor(t.Ref, rule.Region)
	}
	return t, nil
}

// findPaths returns what answers for parts of a host's repositories: a client that forgets a registry names the host
// alone.
func findPaths(cfg *config.Config, name registryhost.Name) []Target {
	var parts []Target
	for _, r := range cfg.Registries {
		if r.Pattern.HasPath() && r.Pattern.MatchHost(name) && r.Helper == "" && !r.ECR {
			parts = append(parts, Target{Name: name, Ref: r.CredentialsParameter})
		}
	}
	return parts
}

// findHelper returns the helper for every other registry, for a key that is none: docker login keeps its own tokens for
// Docker Hub there.
func findHelper(cfg *config.Config) (Target, error) {
	for i, r := range cfg.Registries {
		if r.Pattern.IsAny() && r.Helper != "" {
			return Target{Rule: &cfg.Registries[i], Helper: r.Helper}, nil
		}
	}
	return Target{}, credentials.NewErrCredentialsNotFound()
}

// normalize reads what a client sent. Keys that are not registries, such as those under which docker keeps its own
// tokens for Docker Hub, are not found; text that no client would send is an error.
func normalize(serverURL string) (registryhost.Name, error) {
	name, err := registryhost.Normalize(serverURL)
	if errors.Is(err, registryhost.ErrNotRegistry) {
		return name, credentials.NewErrCredentialsNotFound()
	}
	if err != nil {
		return name, fmt.Errorf("%w; the client took it from the image name or from its own configuration: correct it there", err)
	}
	return name, nil
}

// credentials reads the registry's credentials out of the text that answers for it.
func (t Target) credentials(text secret.Value) (payload.Credentials, error) {
	return payload.Parse(text, t.Name.Host, t.Username)
}

// key is the cache key: all that decides the answer and can be known without AWS credentials. Of a secret the same text
// may be an answer for one host and a failure for another, or with one user name and not without; a token of ECR is one
// for all registries of a region.
func (t Target) key(cfg *config.Config, getenv func(string) string) hostcache.Key {
	var reader string
	if t.ECR == nil {
		reader = t.Name.Host
	}
	parts := identity(getenv)
	if t.Ref.Service == secretref.S3 {
		parts = append(parts, getenv("AWS_ENDPOINT_URL_S3"))
	}
	return hostcache.NewKey(t.group(), append([]string{
		reader, t.Username,
		// A shorter life must not find what was kept for a longer one.
		cfg.Cache.Policy.TTL.String(), cfg.Cache.Policy.Stale.String(),
		t.Region, t.Role.RoleARN, t.Role.ExternalID,
		cfg.AWS.Profile, cfg.AWS.EndpointURL, strconv.FormatBool(cfg.AWS.UseFIPS), strconv.FormatBool(cfg.AWS.UseDualstack),
	}, parts...))
}

// group is the part of the key that erase goes by: the same secret, whoever reads it.
func (t Target) group() []string {
	if t.ECR != nil {
		return []string{"ecr", t.ECR.Partition, t.ECR.Region, strconv.FormatBool(t.ECR.Public), strconv.FormatBool(t.ECR.FIPS), strconv.FormatBool(t.ECR.DualStack)}
	}
	return []string{t.Ref.Service.String(), t.Ref.String()}
}

// identity is what in the environment decides which AWS credentials would be used, and where they would be sent.
// The result is hashed; the secret access key is not part of it, since its id says whose it is.
func identity(getenv func(string) string) []string {
	names := []string{
		"AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION",
		"AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN",
		"AWS_EC2_METADATA_DISABLED", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
		"AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
		"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL_SSM", "AWS_ENDPOINT_URL_STS",
		"AWS_ENDPOINT_URL_ECR", "AWS_ENDPOINT_URL_ECR_PUBLIC",
	}
	parts := make([]string, 0, len(names)+4)
	for _, n := range names {
		parts = append(parts, getenv(n))
	}
	home := getenv("HOME")
	return append(parts,
		stamp(getenv("AWS_CONFIG_FILE"), home+"/.aws/config"),
		stamp(getenv("AWS_SHARED_CREDENTIALS_FILE"), home+"/.aws/credentials"),
		stamp(getenv("AWS_WEB_IDENTITY_TOKEN_FILE"), ""),
		stamp(getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"), ""))
}

// stamp names a file and its state: jobs of one user that put their own credentials at one path are different.
func stamp(path, fallback string) string {
	if path == "" {
		path = fallback
	}
	info, err := os.Stat(path)
	if path == "" || errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	if err != nil {
		return path
	}
	return path + " " + strconv.FormatInt(info.Size(), 10) + " " + strconv.FormatInt(info.ModTime().UnixNano(), 10)
}

// region is where AWS is asked; "" = not known before.
func (t Target) region() string {
	if t.ECR != nil {
		return t.ECR.Region
	}
	return t.Region
}

// Source says in words where the answer comes from.
func (t Target) Source() string {
	switch {
	case t.Helper != "":
		return "docker-credential-" + t.Helper
	case t.ECR != nil && t.ECR.Public:
		return "an ECR Public token"
	case t.ECR != nil:
		return "an ECR token of " + t.ECR.Region
	case t.Ref.Service == secretref.SSM:
		return "parameter " + t.Ref.String()
	case t.Ref.Service == secretref.S3:
		return "object " + t.Ref.String()
	}
	return "secret " + t.Ref.String()
}

// sorted returns the rules with exact hosts first, for listings.
func sorted(rules []config.Registry) []config.Registry {
	s := slices.Clone(rules)
	slices.SortFunc(s, func(a, b config.Registry) int {
		if a.Pattern.IsExact() != b.Pattern.IsExact() {
			return a.Pattern.Compare(b.Pattern)
		}
		return strings.Compare(a.Pattern.String(), b.Pattern.String())
	})
	return s
}
