package configure

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/shared/conffile"
	"github.com/secretref/secretref/shared/registryhost"
)

// Client is what one client does when it pulls from a registry.
type Client struct {
	Name    string // docker, or podman and those that read its files
	Asks    bool   // it asks secretref
	File    string // the file that decides; "" when none does
	Key     string // the entry in it, such as credsStore
	Problem string // why it does not ask, and what to do; "" when it asks
}

// User is whose clients are looked at.
type User struct {
	UID    int                      // who owns the files
	Getenv func(name string) string // HOME, DOCKER_CONFIG, PATH and so on
}

// Look returns what docker and podman do for a registry's canonical host. It reads their files as they do, and changes
// nothing. all says that no exact rule names the host, so that it takes --all to have clients ask.
func Look(u User, host string, all bool) []Client {
	return look(u, host, all, "/etc/containers", "/run/containers")
}

func look(u User, host string, all bool, etc, run string) []Client {
	o := Options{Getenv: u.Getenv, All: all}
	l := looker{Disk: conffile.Disk{EUID: u.UID}, options: o, system: system{etc: etc, run: run, uid: u.UID}, host: host}
	home, err := o.home()
	if err != nil {
		return []Client{{Name: dockerName, Problem: err.Error()}, {Name: podmanName, Problem: err.Error()}}
	}
	return []Client{l.docker(home), l.podman(home)}
}

const (
	dockerName = "docker"
	podmanName = "podman, skopeo, buildah"
)

type looker struct {
	conffile.Disk
	options Options
	system  system
	host    string
}

// dockerFile is the config.json that docker reads.
func (l looker) dockerFile(home string) string {
	dir := l.options.env("DOCKER_CONFIG")
	if dir == "" {
		dir = filepath.Join(home, ".docker")
	}
	return filepath.Join(dir, "config.json")
}

// open reads a JSON file of a client.
func (l looker) open(path string) (document, error) {
	f, err := l.Read(path)
	if err != nil {
		return document{}, err
	}
	defer f.Close()
	d, err := parseDocument(f.Text)
	if err != nil {
		return document{}, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

// command is what makes a client ask.
func (l looker) command(client string) string {
	c := "run docker-credential-" + suffix + " configure " + client
	if l.options.All {
		c += " --all"
	}
	return c
}

func (l looker) docker(home string) Client {
	c := Client{Name: dockerName, File: l.dockerFile(home)}
	if dir := filepath.Dir(c.File); filepath.Base(dir) == "config.json" {
		c.Problem = fmt.Sprintf("the directory of Docker's configuration is given as %s, which names the file; name its directory, %s", dir, filepath.Dir(dir))
		return c
	}
	d, err := l.open(c.File)
	if err != nil {
		c.Problem = err.Error()
		return c
	}
	key := dockerKeys(l.host)[0]
	have, ok, err := d.helper(key)
	switch {
	case l.inEnvironment(key):
		c.File, c.Key = "", fmt.Sprintf("auths[%q]", key)
		c.Problem = "DOCKER_AUTH_CONFIG in the environment has a login for " + l.host + ", which newer versions of docker use first; take it out of the variable"
	case err != nil:
		c.Problem = fmt.Sprintf("%s: %v", c.File, err)
	case ok:
		l.answers(&c, fmt.Sprintf("credHelpers[%q]", key), have, l.command("docker"))
	default:
		l.store(&c, d, key)
	}
	return c
}

// inEnvironment reports whether DOCKER_AUTH_CONFIG has a login under key.
func (l looker) inEnvironment(key string) bool {
	text := l.options.env("DOCKER_AUTH_CONFIG")
	if text == "" || len(text) > conffile.MaxFile {
		return false
	}
	d, err := parseDocument([]byte(text))
	if err != nil {
		return false
	}
	logins, err := d.logins()
	return err == nil && slices.Contains(logins, key)
}

// store looks at credsStore, which docker asks for all that is not in credHelpers.
func (l looker) store(c *Client, d document, key string) {
	store, _, err := d.StringAt("credsStore")
	switch {
	case err != nil:
		c.Problem = fmt.Sprintf("%s: %v", c.File, err)
		return
	case store == suffix:
		c.Asks, c.Key = true, "credsStore"
		return
	}
	problem := fmt.Sprintf("%s has no credHelpers[%q]", c.File, key)
	if near := d.otherSpelling(l.host, key); near != "" {
		problem += fmt.Sprintf(", but %q, which docker does not look at for a pull", near)
	} else if slip := d.slip(); slip != "" {
		problem += fmt.Sprintf(" and no credsStore, but %q, which docker does not know", slip)
	}
	logins, err := d.logins()
	if err != nil {
		problem += fmt.Sprintf("; %v", err)
	}
	switch {
	case store != "":
		c.Key = "credsStore"
		problem += fmt.Sprintf(", and its credsStore %q is asked instead", store)
	case slices.Contains(logins, key):
		c.Key = fmt.Sprintf("auths[%q]", key)
		problem += ", and the login saved in it is used"
	default:
		problem += ", so the pull is anonymous"
	}
	c.Problem = problem + "; " + l.command("docker")
}

// answers says which helper an entry names.
func (l looker) answers(c *Client, key, helper, command string) {
	c.Key = key
	if helper == suffix {
		c.Asks = true
		return
	}
	c.Problem = fmt.Sprintf("%s: %s is %q, another helper; remove that entry and %s", c.File, key, helper, command)
}

// otherSpelling returns a key of credHelpers that means host and is not key.
func (d document) otherSpelling(host, key string) string {
	for _, k := range d.Keys("credHelpers") {
		if n, err := registryhost.Normalize(k); err == nil && n.Host == host && k != key {
			return k
		}
	}
	return ""
}

// slip returns a top-level key that may be meant for credHelpers or credsStore.
func (d document) slip() string {
	for _, k := range d.Keys("") {
		lower := strings.ToLower(k)
		if strings.HasPrefix(lower, "cred") && lower != "credhelpers" && lower != "credsstore" {
			return k
		}
	}
	return ""
}

// podman looks through the files in the order of containers-auth.json(5); the first that knows the host decides. An entry
// in config.json counts in credHelpers alone: podman knows no credsStore.
func (l looker) podman(home string) Client {
	c := Client{Name: podmanName}
	own, explicit := l.options.authFile(home)
	files := []string{own}
	if !explicit {
		files = []string{l.system.primaryAuth(l.options), own, l.dockerFile(home)}
	}
	for _, path := range files {
		d, err := l.open(path)
		if err != nil {
			c.File, c.Problem = path, err.Error()
			return c
		}
		if l.decides(&c, d, path) {
			return c
		}
	}
	return l.external(c, home, files)
}

// decides reports whether a file of podman's knows the host.
func (l looker) decides(c *Client, d document, path string) bool {
	command := l.command("podman")
	have, ok, err := d.helper(l.host)
	if err != nil {
		c.File, c.Problem = path, fmt.Sprintf("%s: %v", path, err)
		return true
	}
	if ok {
		c.File = path
		l.answers(c, fmt.Sprintf("credHelpers[%q]", l.host), have, command)
		return true
	}
	logins, err := d.logins()
	if err != nil {
		c.File, c.Problem = path, fmt.Sprintf("%s: %v", path, err)
		return true
	}
	i := slices.IndexFunc(logins, func(k string) bool {
		n, err := registryhost.Normalize(k)
		return err == nil && n.Host == l.host
	})
	if i < 0 {
		return false
	}
	c.File, c.Key = path, fmt.Sprintf("auths[%q]", logins[i])
	c.Problem = fmt.Sprintf("%s has a saved login for %s, which is used; podman logout %s and %s", path, l.host, l.host, command)
	return true
}

// external looks at credential-helpers of registries.conf, which comes last.
func (l looker) external(c Client, home string, files []string) Client {
	conf, err := l.system.registriesConf(l.Disk, home)
	if err != nil {
		c.Problem = err.Error()
		return c
	}
	for _, path := range conf.files {
		helpers, err := credentialHelpers(l.Disk, path)
		if err != nil {
			c.Problem = err.Error()
			return c
		}
		if helpers != nil {
			c.File, c.Asks = path, slices.Contains(helpers, suffix)
		}
	}
	if c.Asks {
		c.Key = "credential-helpers"
		return c
	}
	c.File = ""
	c.Problem = fmt.Sprintf("none of %s has credHelpers[%q], so the pull is anonymous; %s",
		strings.Join(files, ", "), l.host, l.command("podman"))
	return c
}

// Program looks for this helper as clients do, in PATH, and returns its path, or why it cannot be run.
func Program(path string) (found, problem string) {
	const name = "docker-credential-" + suffix
	var blocked, mode string
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, name)
		st, err := os.Stat(file)
		if err != nil || st.IsDir() {
			continue
		}
		if st.Mode()&0o111 != 0 && unix.Access(file, unix.X_OK) == nil {
			return file, ""
		}
		if blocked == "" {
			blocked, mode = file, strconv.FormatInt(int64(st.Mode().Perm()), 8)
		}
	}
	if blocked != "" {
		return "", blocked + " has the mode " + mode + " and cannot be executed; chmod 755 " + blocked
	}
	return "", name + " is not in PATH, which is " + path + "; install it into /usr/bin: cron and sudo have a short PATH"
}
