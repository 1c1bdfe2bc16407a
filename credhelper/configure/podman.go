package configure

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/secretref/secretref/shared/conffile"
)

// The files and their order are those of containers-auth.json(5) and containers-registries.conf.d(5), tried with
// podman 4.3 and skopeo 1.9.

const (
	dropInName = "50-secretref.conf"
	dropInText = `# Written by "docker-credential-secretref configure podman --all"; "--undo" removes it.
# Registries without a login in auth.json are looked up with docker-credential-secretref.
credential-helpers = ["containers-auth.json", "secretref"]
`
	authFiles = "containers-auth.json" // in credential-helpers: the auth.json files
)

// system is where podman's own files are.
type system struct {
	etc string // /etc/containers
	run string // /run/containers
	uid int
}

// Podman edits the auth.json that survives a reboot: $REGISTRY_AUTH_FILE, else $XDG_CONFIG_HOME/containers/auth.json,
// else ~/.config/containers/auth.json. Buildah and skopeo read it too. With All it also adds a drop-in to
// registries.conf.d, by which registries without a login are looked up with secretref.
func Podman(o Options) (Result, error) {
	return podman(o, system{etc: "/etc/containers", run: "/run/containers", uid: os.Geteuid()})
}

func podman(o Options, s system) (Result, error) {
	home, err := o.home()
	if err != nil {
		return Result{}, err
	}
	path, explicit := o.authFile(home)
	f, d, err := editJSON(o.disk(), path)
	if err != nil {
		return Result{}, err
	}
	defer f.Close()
	r := Result{Files: []string{path}}
	keys, err := o.hosts(func(host string) []string { return []string{host} })
	if err != nil {
		return Result{}, err
	}
	if o.Undo {
		r.dropHelpers(d, path)
	} else if err = r.setHelpers(d, path, keys); err == nil {
		err = r.shadowed(d, path, func(login string) bool { return covers(o.Hosts, login) })
	}
	if err != nil {
		return Result{}, err
	}
	var changes []change
	if len(r.Changes) > 0 {
		if err := d.Check(); err != nil {
			return Result{}, fmt.Errorf("%s: %w", path, err)
		}
		changes = append(changes, change{file: f, text: d.Text})
	}

	if o.Undo || o.All {
		c, err := s.registriesConf(o.disk(), home)
		if err != nil {
			return Result{}, err
		}
		var more []change
		if o.Undo {
			more, err = r.removeDropIns(c)
		} else {
			more, err = r.addDropIn(c, o.AnyHelper)
		}
		if err != nil {
			return Result{}, err
		}
		for _, c := range more {
			defer c.file.Close() //nolint:gocritic // as long as the changes are not made
		}
		changes = append(changes, more...)
	}
	if !o.Undo && !explicit {
		r.noteEarlier(o.disk(), s.primaryAuth(o), keys)
	}
	if err := o.apply(changes); err != nil {
		return Result{}, err
	}
	return r, nil
}

// authFile is the auth.json that survives a reboot, and whether a variable names it.
func (o Options) authFile(home string) (path string, explicit bool) {
	if path := o.env("REGISTRY_AUTH_FILE"); path != "" {
		return path, true
	}
	config := o.env("XDG_CONFIG_HOME")
	if config == "" {
		config = filepath.Join(home, ".config")
	}
	return filepath.Join(config, "containers", "auth.json"), false
}

// primaryAuth is the file that `podman login` writes and that is read before ours. It is gone after a reboot.
func (s system) primaryAuth(o Options) string {
	if dir := o.env("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "containers", "auth.json")
	}
	return filepath.Join(s.run, strconv.Itoa(s.uid), "auth.json")
}

// noteEarlier says which of the hosts the primary file answers, so that ours is not asked.
func (r *Result) noteEarlier(on conffile.Disk, path string, hosts []string) {
	f, d, err := editJSON(on, path)
	if err != nil {
		r.Notes = append(r.Notes, err.Error()+" (podman reads this file first)")
		return
	}
	defer f.Close()
	logins, err := d.logins()
	if err != nil {
		r.Notes = append(r.Notes, fmt.Sprintf("%s: %v (podman reads this file first)", path, err))
		return
	}
	for _, l := range logins {
		if covers(hosts, l) {
			r.Notes = append(r.Notes, fmt.Sprintf("%s has a login for %s, which comes before secretref until the next reboot; podman logout %s removes it", path, l, l))
		}
	}
	for _, h := range hosts {
		if have, ok, err := d.helper(h); err == nil && ok && have != suffix {
			r.Notes = append(r.Notes, fmt.Sprintf("%s names the helper %q for %s, which comes before secretref", path, have, h))
		}
	}
}

// registriesConf are the files in which podman looks for credential-helpers, in its order: the last one that has the
// key counts. Our drop-in is among them, whether it is there or not.
type registriesConf struct {
	conffile.Disk
	files  []string
	dropIn string
	system bool // the drop-in is below /etc
}

func (s system) registriesConf(on conffile.Disk, home string) (registriesConf, error) {
	own := filepath.Join(home, ".config", "containers") // podman does not use XDG_CONFIG_HOME for these
	ownOnly, err := on.Exists(filepath.Join(own, "registries.conf"))
	if err != nil {
		return registriesConf{}, err
	}
	// A user's registries.conf replaces everything below /etc.
	c := registriesConf{Disk: on, system: s.uid == 0 && !ownOnly}
	base := own
	if c.system {
		base = s.etc
	}
	c.dropIn = filepath.Join(base, "registries.conf.d", dropInName)

	ownConfs, err := c.confs(filepath.Join(own, "registries.conf.d"), c.dropIn)
	if err != nil {
		return c, err
	}
	if ownOnly {
		c.files = append([]string{filepath.Join(own, "registries.conf")}, ownConfs...)
		return c, nil
	}
	etcConfs, err := c.confs(filepath.Join(s.etc, "registries.conf.d"), c.dropIn)
	if err != nil {
		return c, err
	}
	c.files = slices.Concat([]string{filepath.Join(s.etc, "registries.conf")}, etcConfs, ownConfs)
	return c, nil
}

// confs lists dir/*.conf in the order in which podman reads them, with also among them if it belongs in dir.
func (c registriesConf) confs(dir, also string) ([]string, error) {
	names, err := c.Names(dir)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, n := range names {
		if strings.HasSuffix(n, ".conf") {
			files = append(files, filepath.Join(dir, n))
		}
	}
	if filepath.Dir(also) == dir {
		files = append(files, also)
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// credentialHelpers returns the key of that name from a registries.conf file; nil when it has none.
func credentialHelpers(d conffile.Disk, path string) ([]string, error) {
	f, err := d.Read(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var conf struct {
		Helpers []string `toml:"credential-helpers"`
	}
	if err := toml.Unmarshal(f.Text, &conf); err != nil {
		return nil, fmt.Errorf("%s: not valid TOML (%w); correct it first", path, err)
	}
	return conf.Helpers, nil
}

// addDropIn writes the drop-in, unless podman asks us already.
func (r *Result) addDropIn(c registriesConf, anyHelper string) ([]change, error) {
	r.Files = append(r.Files, c.dropIn)
	var now []string // what counts today
	var from string
	for _, path := range c.files {
		helpers, err := credentialHelpers(c.Disk, path)
		if err != nil {
			return nil, err
		}
		if helpers != nil {
			now, from = helpers, path
		}
	}
	if slices.Contains(now, suffix) {
		return nil, nil
	}
	if slices.Index(c.files, from) > slices.Index(c.files, c.dropIn) {
		return nil, fmt.Errorf("%s: its credential-helpers is read after %s and wins; add %q to it by hand", from, c.dropIn, suffix)
	}
	for _, h := range now {
		if h != authFiles && h != anyHelper {
			return nil, fmt.Errorf("%s: credential-helpers has %q, another helper; add [registries.\"*\"] with helper = %q to the secretref configuration, so that it keeps the other registries, and run this again", from, h, h)
		}
	}
	f, err := c.Edit(c.dropIn)
	if err != nil {
		return nil, err
	}
	if f.Exists {
		f.Close()
		return nil, fmt.Errorf("%s: changed by hand; remove it, or add %q to its credential-helpers", c.dropIn, suffix)
	}
	if c.system {
		f.Mode, f.DirMode = 0o644, 0o755 // no secret in it, and every user's podman reads it
	}
	r.Changes = append(r.Changes, c.dropIn+": written")
	return []change{{file: f, text: []byte(dropInText)}}, nil
}

// removeDropIns removes our drop-in where it is as we wrote it, and names what else still asks us.
func (r *Result) removeDropIns(c registriesConf) ([]change, error) {
	var changes []change
	r.Files = append(r.Files, c.dropIn)
	for _, path := range c.files {
		helpers, err := credentialHelpers(c.Disk, path)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(helpers, suffix) {
			continue
		}
		f, err := c.Edit(path)
		if err != nil || filepath.Base(path) != dropInName || string(f.Text) != dropInText {
			r.Notes = append(r.Notes, fmt.Sprintf("%s still has %q in its credential-helpers, and was not written by this command or has been changed; edit it by hand", path, suffix))
			continue
		}
		r.Changes = append(r.Changes, path+": removed")
		changes = append(changes, change{file: f, remove: true})
	}
	return changes, nil
}
