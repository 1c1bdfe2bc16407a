// Package config reads the configuration that both programs share: /etc/secretref/config.toml, its drop-ins, and for
// the credential helper the user's own file.
//
// Use Load with the options of Paths. The result is checked: every reference parses, every role is a role, no password
// stands under a pattern that covers hosts of other owners. The package refuses what may be a slip: a key that it does not
// know, two values for one thing, a file that another user could have written. What is wrong is an *Error with file,
// line and remedy; its Concerns reports for which registries the broken text may matter, so that a pull from any
// other registry goes on.
//
// The credential helper loads this on every docker pull, so nothing here needs the network, the AWS SDK or
// initialisation.
package config

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/secretref/secretref/shared/registryhost"
	"github.com/secretref/secretref/shared/secretref"
	"github.com/secretref/secretref/shared/ttl"
)

// SystemFile is the configuration of the host.
const SystemFile = "/etc/secretref/config.toml"

// Config is what the files say, with defaults filled in. Empty strings mean "not given".
type Config struct {
	NotFound   NotFound
	AWS        AWS
	Cache      Cache
	Accounts   map[string]Role   // by twelve-digit account: how references into it are read
	Buckets    map[string]Bucket // by name: how objects in it are read
	ECR        ECR
	Registries []Registry // one per pattern; Rule picks the best
	Logs       Logs
	Secrets    Secrets
	Files      []string // the files that were read, in order
}

// NotFound is the answer for a registry without a rule.
type NotFound string

// The two answers. Some clients (Nomad) take an error for a failed pull and need the empty one.
const (
	NotFoundError     NotFound = "error"     // the protocol's "credentials not found"; the default
	NotFoundAnonymous NotFound = "anonymous" // empty username and password
)

// AWS is how AWS is reached. The fields have the names of the AWS shared configuration.
type AWS struct {
	Region                string // for references that carry none
	RoleARN, ExternalID   string // assumed for every reference that has no closer role
	Profile               string
	EndpointURL           string // http or https, for all services
	CABundle              string // absolute path of a PEM file, in place of the system's roots
	HTTPSProxy, NoProxy   string // as the environment variables HTTPS_PROXY and NO_PROXY
	UseFIPS, UseDualstack bool
	STSEndpointURL        string        // for STS alone, in place of EndpointURL
	Audit                 bool          // one audit line for each reference that is resolved
	Timeout               time.Duration // everything that one `get` may take; default 10s
}

// Cache is how long values are kept.
type Cache struct {
	Policy ttl.Policy // default 5m and 1h
	Store  Store
}

// Store says whether values may be kept across processes.
type Store string

// The two values of Store.
const (
	StoreAuto Store = "auto" // sealed, where the host can; the default
	StoreOff  Store = "off"
)

// Role is an IAM role to assume.
type Role struct {
	RoleARN    string
	ExternalID string
}

// Bucket is how the objects of a bucket are read: their ARN has neither an account nor a region.
type Bucket struct {
	Role   Role   // "" = that of [aws]
	Region string // where it is asked for first; "" = that of [aws]
}

// ECR is whether registries of ECR and ECR Public are answered without a rule of their own, and as whom. The region is
// in the host.
type ECR struct {
	Enabled             bool
	RoleARN, ExternalID string // "" = the host's own identity
}

// Registry is one rule. It has exactly one of CredentialsParameter, Helper and ECR.
type Registry struct {
	Pattern              registryhost.Pattern
	CredentialsParameter secretref.Ref
	Username             string // for a secret that is just the password
	Region               string // for a CredentialsParameter that carries none
	RoleARN, ExternalID  string
	Helper               string // docker-credential-HELPER answers
	ECR                  bool   // an ECR token answers
	Origin               Origin
}

// Logs is for the log driver alone. Sizes are in bytes (reason: a key of the table is a field here).
type Logs struct {
	StateDir        string        // default /var/lib/secretref
	SpoolMaxBytes   int64         // per container; default 256 MiB
	SpoolTotal      int64         // default 2 GiB
	SpoolMinFree    int64         // default 1 GiB, which stands for 5 % of the file system where that is less; 0 = none
	AllowReferences []string      // glob patterns; nil = any reference, empty = none
	AllowRouters    []string      // glob patterns of router addresses and of ARNs; nil = any, empty = none
	AllowRoles      []string      // glob patterns of roles that containers may name; nil and empty = none
	AllowFiles      []string      // directories below which a container's options may name files; default DefaultAllowFiles, empty = none
	MetricsAddress  string        // host:port; "" = none
	ReadLogs        bool          // docker logs reads the spool and what is kept of it; default true
	HistoryTotal    int64         // kept of delivered lines for docker logs; default 4 GiB
	KeepEnded       time.Duration // after the end of a container; default 168h
	Hostname        string        // of this host, as logs name it; "" = what the system says

	InstanceMetadata    bool // lines name the EC2 instance where the router has a place for it; default true
	MetricsPerContainer bool // series for each container; default true
	AllowOptions        bool // containers may give the options of a connection themselves; default true

	// Destinations are named sets of options, each in the form in which a container's log options arrive:
	// "secretOptions.NAME" is a reference. The options are not checked here.
	Destinations       map[string]map[string]string
	DefaultDestination string // one of Destinations, for containers that name none; "" = none
}

// Secrets is for the volumes of the log driver.
type Secrets struct {
	AllowReferences []string // glob patterns: what volumes may name; nil and empty = none
	ValuesDir       string   // a tmpfs for the files; default /run/secretref/values
	VolumesDir      string   // the same mounted read-only, for containers; default /run/secretref/volumes
}

// DefaultAllowFiles returns Logs.AllowFiles where it is not given.
func DefaultAllowFiles() []string { return []string{"/etc/ssl", "/etc/pki", "/etc/secretref"} }

// DefaultSpoolMinFree is Logs.SpoolMinFree where it is not given.
const DefaultSpoolMinFree = 1 << 30

// Origin is a place in a file.
type Origin struct {
	File string
	Line int // from 1; 0 = the file as such
}

// String returns FILE:LINE.
func (o Origin) String() string {
	if o.Line == 0 {
		return o.File
	}
	return fmt.Sprintf("%s:%d", o.File, o.Line)
}

func defaults() *Config {
	return &Config{
		NotFound: NotFoundError,
		AWS:      AWS{Timeout: 10 * time.Second},
		Cache:    Cache{Policy: ttl.Policy{TTL: 5 * time.Minute, Stale: time.Hour}, Store: StoreAuto},
		Accounts: map[string]Role{},
		Buckets:  map[string]Bucket{},
		Logs: Logs{
			StateDir:      "/var/lib/secretref",
			SpoolMaxBytes: 256 << 20,
			SpoolTotal:    2 << 30,
			SpoolMinFree:  DefaultSpoolMinFree,
			AllowFiles:    DefaultAllowFiles(),
			ReadLogs:      true,
			HistoryTotal:  4 << 30,
			KeepEnded:     7 * 24 * time.Hour,

			InstanceMetadata:    true,
			MetricsPerContainer: true,
			AllowOptions:        true,
		},
		Secrets: Secrets{ValuesDir: "/run/secretref/values", VolumesDir: "/run/secretref/volumes"},
	}
}

// Rule returns the rule that speaks for n; false when there is none. Where several do, the best by
// registryhost.Pattern.Compare.
func (c *Config) Rule(n registryhost.Name) (*Registry, bool) {
	var best *Registry
	for i := range c.Registries {
		r := &c.Registries[i]
		if r.Pattern.Match(n) && (best == nil || r.Pattern.Compare(best.Pattern) < 0) {
			best = r
		}
	}
	return best, best != nil
}

// Options says what to read. An empty path is not read.
type Options struct {
	SystemFile string // may be missing
	SystemDir  string // its *.toml in lexical order; may be missing
	UserFile   string // overrides the system files; may be missing
	OnlyFile   string // replaces all others and must be there
	SystemOnly bool   // ignore UserFile: the log driver serves the whole host
	EUID       int    // files belong to root or to this user

	// Environ, in the form of os.Environ, overrides the files with the variables that Variables lists. The credential
	// helper leaves it out: what decides its answer is in files, and part of its cache key.
	Environ []string
}

// Paths returns the options of this process: the fixed system paths, the user's file by $XDG_CONFIG_HOME or $HOME, or
// the one file that $SECRETREF_CONFIG names.
func Paths(getenv func(string) string) Options {
	o := Options{
		SystemFile: SystemFile,
		SystemDir:  "/etc/secretref/conf.d",
		OnlyFile:   getenv("SECRETREF_CONFIG"),
		EUID:       os.Geteuid(),
	}
	// The XDG specification has relative paths ignored.
	if dir := getenv("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		o.UserFile = filepath.Join(dir, "secretref", "config.toml")
	} else if home := getenv("HOME"); filepath.IsAbs(home) {
		o.UserFile = filepath.Join(home, ".config", "secretref", "config.toml")
	}
	return o
}

// Load reads, merges and checks the files, then the variables. An error is an *Error about the first mistake, in the
// order of files and lines; that of a variable has its name in place of a file's. Without any file there is no error, and the result has no rules.
func Load(opts Options) (*Config, error) {
	// All files are read before the first is judged: an error must know every registry that any of them speaks of.
	sources := opts.read()
	l := loader{cfg: defaults(), given: map[string]given{}, rules: map[registryhost.Pattern]int{}}
	for _, s := range sources {
		err := s.err
		if err == nil {
			err = l.file(s)
		}
		if err != nil {
			return nil, err.scoped(sources)
		}
		l.cfg.Files = append(l.cfg.Files, s.path)
	}
	err := l.environ(opts.Environ)
	if err == nil {
		err = l.finish()
	}
	if err != nil {
		return nil, err.scoped(sources)
	}
	return l.cfg, nil
}
