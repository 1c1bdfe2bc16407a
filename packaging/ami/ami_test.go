//go:build integration

// Package ami_test runs the script that makes an image in a clean Debian, and checks the files that run it.
package ami_test

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/rig"
)

// suite names another release of Debian, whose root file system packaging/install-test-deps root has made.
const suite = "SECRETREF_TEST_SUITE"

const (
	registry = "[registries.\"registry.example.com\"]\ncredentialsParameter = \"arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/registry-AbCdEf\"\n"
	safe     = "{\n  \"log-driver\": \"secretref\",\n  \"live-restore\": true\n}\n"
)

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestProvision(t *testing.T) {
	dir := t.TempDir()
	build := rig.Cmd{Args: []string{"../packages/build", "v0.1.0", dir}, Env: append(os.Environ(), "ARCHES="+runtime.GOARCH), Timeout: 5 * time.Minute}
	if _, err := build.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	debs, err := filepath.Glob(dir + "/*.deb")
	if err != nil || len(debs) != 1 {
		t.Fatal(debs, err)
	}
	ca, err := rig.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	r := rig.Use(t, rig.StartRoot, rig.RootOptions{Suite: os.Getenv(suite)})
	if err := r.Copy("root", debs[0], "provision"); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"registry.toml": registry, "own.crt": string(ca.PEM()), "x.json": "{}", "bad.toml": "[registres]\n"} {
		if err := r.Write("root/"+name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	try := func(commands string) (string, error) {
		out, err := r.Run(t.Context(), "bash", "-euc", commands)
		return out.Output, err
	}
	do := func(want, commands string) {
		t.Helper()
		if out, err := try(commands); err != nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v, want %q\n%s", commands, err, want, out)
		}
	}
	refused := func(want, commands string) {
		t.Helper()
		if out, err := try(commands); err == nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v, want %q\n%s", commands, err, want, out)
		}
	}
	do("", "useradd -m -u 1000 ec2-user")
	refused("x.json: want a package", "./provision x.json")
	refused("is not a file", "./provision gone.toml")
	refused("name the package", "./provision registry.toml")
	provision := "./provision *.deb registry.toml own.crt"
	do("done: docker-credential-secretref", provision)
	do("done: docker-credential-secretref", provision) // again

	do("enabled\nenabled", "systemctl is-enabled secretref-logdriver.socket secretref-logdriver.service")
	do("", "useradd -m later")
	for _, home := range []string{"/root", "/home/ec2-user", "/home/later"} {
		do(`"registry.example.com": "secretref"`, "cat "+home+"/.docker/config.json")
	}
	do("ec2-user 600\nlater 600\n", "stat -c '%U %a' /home/ec2-user/.docker/config.json /home/later/.docker/config.json")
	if got := read(t, r.Path("etc/docker/daemon.json")); got != safe {
		t.Errorf("daemon.json is %q", got)
	}
	if got := read(t, r.Path("etc/secretref/conf.d/registry.toml")); got != registry {
		t.Errorf("the drop-in is %q", got)
	}
	do("644", "stat -c %a /etc/secretref/conf.d/registry.toml")
	do("", "grep -qF \"$(sed -n 2p own.crt)\" /etc/ssl/certs/ca-certificates.crt")
	// Nothing of the machine that made it: no state, no sealed value, and nothing runs that would write some.
	do("", "[ ! -e /var/lib/secretref ] && [ ! -e /run/secretref ] && ! systemctl is-active secretref-logdriver.service secretref-logdriver.socket")
	// The next start of the machine has a driver.
	do("reading", "systemctl start secretref-logdriver.socket secretref-logdriver.service; secretref-logdriver status; echo reading")

	refused("has log-opts", `echo '{"log-driver": "secretref", "log-opts": {}}' >/etc/docker/daemon.json; ./provision`)
	refused("SECRETREF_LOG_DRIVER=no", `echo '{"debug": true}' >/etc/docker/daemon.json; ./provision`)
	do("done", "SECRETREF_LOG_DRIVER=no ./provision")
	refused("registres", "./provision bad.toml")
	do("", "rm /etc/secretref/conf.d/bad.toml; SECRETREF_LOG_DRIVER=no ./provision --start; systemctl is-active secretref-logdriver.service")
}

func TestShellcheck(t *testing.T) {
	if r, err := (rig.Cmd{Args: []string{"shellcheck", "provision"}}).Run(t.Context()); err != nil {
		t.Errorf("%v\n%s", err, r.Output)
	}
}

// Debian's Packer validates the template, but for what it is too old for: the plugin that 1.7 and later install, and the options between
// the marks.
func TestPacker(t *testing.T) {
	dir := t.TempDir()
	old := regexp.MustCompile(`(?s)\n *# begin: Packer 1\.7 or later\n.*?\n *# end\n`).ReplaceAllString(read(t, "secretref.pkr.hcl"), "\n")
	if strings.Contains(old, "metadata_options") {
		t.Fatal("the marks in secretref.pkr.hcl are not found")
	}
	validate := func(text string) (string, error) {
		t.Helper()
		for name, text := range map[string]string{"secretref.pkr.hcl": text, "provision": "", "x.deb": "", "r.toml": ""} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r, err := rig.Cmd{
			Args: []string{"packer", "validate", "-var", "source_ami=ami-0123456789abcdef0", "-var", "package=" + dir + "/x.deb", "-var", `files=["` + dir + `/r.toml"]`, dir},
			Env:  rig.Env(dir, "CHECKPOINT_DISABLE=1", "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY=x"),
		}.Run(t.Context())
		return r.Output, err
	}
	if out, err := validate(old); err != nil {
		t.Errorf("packer validate: %v\n%s", err, out)
	}
	if out, err := validate(strings.Replace(old, "source_ami    =", "source_amy    =", 1)); err == nil {
		t.Errorf("packer validate does not see a wrong key:\n%s", out)
	}
}

// strict reads a file of YAML into a struct that has all the keys it may have.
func strict(t *testing.T, text string, into any) {
	t.Helper()
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		t.Fatal(err)
	}
}

// The component has the keys, phases and actions of AWS's documentation of component documents, and no others. No program of AWS that
// would check it is at hand.
func TestComponent(t *testing.T) {
	var c struct {
		Name, Description string
		SchemaVersion     string                                          `yaml:"schemaVersion"`
		Parameters        []map[string]struct{ Type, Description string } `yaml:"parameters"`
		Phases            []struct {
			Name  string
			Steps []struct {
				Name, Action   string
				TimeoutSeconds int    `yaml:"timeoutSeconds"`
				OnFailure      string `yaml:"onFailure"`
				Inputs         yaml.Node
			}
		}
	}
	strict(t, read(t, "component.yaml"), &c)
	if c.Name != "secretref" || c.SchemaVersion != "1.0" || len(c.Parameters) != 1 || c.Parameters[0]["Source"].Type != "string" || len(c.Phases) != 2 {
		t.Fatalf("%+v", c)
	}
	for i, phase := range c.Phases {
		if want := []string{"build", "validate"}[i]; phase.Name != want {
			t.Errorf("phase %q, want %q", phase.Name, want)
		}
		for _, step := range phase.Steps {
			if !slices.Contains([]string{"", "Abort", "Continue", "Ignore"}, step.OnFailure) {
				t.Errorf("%s: onFailure %q", step.Name, step.OnFailure)
			}
			var err error
			switch step.Action {
			case "ExecuteBash":
				var in struct{ Commands []string }
				if err = step.Inputs.Decode(&in); err == nil && len(in.Commands) > 0 {
					break
				}
				t.Errorf("%s: %+v, %v", step.Name, in, err)
			case "S3Download":
				var in []struct{ Source, Destination string }
				if err = step.Inputs.Decode(&in); err != nil || len(in) != 1 || in[0].Source != "{{ Source }}/*" || in[0].Destination == "" {
					t.Errorf("%s: %+v, %v", step.Name, in, err)
				}
			default:
				t.Errorf("%s: action %q", step.Name, step.Action)
			}
		}
	}
}

// The user data begins as cloud-init wants it, with keys of its modules write_files and runcmd alone.
func TestUserData(t *testing.T) {
	text := read(t, "user-data.yaml")
	if !strings.HasPrefix(text, "#cloud-config\n") {
		t.Error("it does not begin with #cloud-config")
	}
	var c struct {
		WriteFiles []struct{ Path, Permissions, Content string } `yaml:"write_files"`
		RunCmd     []string                                      `yaml:"runcmd"`
	}
	strict(t, text, &c)
	if len(c.RunCmd) == 0 || !strings.Contains(c.RunCmd[len(c.RunCmd)-1], "provision --start ") {
		t.Errorf("commands %q; the machine is in use: want --start", c.RunCmd)
	}
	for _, f := range c.WriteFiles {
		file := filepath.Join(t.TempDir(), "x.toml")
		if err := os.WriteFile(file, []byte(f.Content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := config.Load(config.Options{OnlyFile: file, EUID: os.Geteuid()}); err != nil {
			t.Errorf("%s: %v", f.Path, err)
		}
		if f.Permissions != "0644" || filepath.Ext(f.Path) != ".toml" {
			t.Errorf("%s has permissions %s", f.Path, f.Permissions)
		}
	}
}
