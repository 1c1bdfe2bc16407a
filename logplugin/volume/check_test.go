package volume

import (
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/polltest"
	"github.com/secretref/secretref/shared/resolve"
)

// Check says of each part whether a container could have it, and never a value.
func TestCheck(t *testing.T) {
	h := newHost(t)
	h.wait, h.config.AWS.Timeout = 20*time.Second, 20*time.Second
	const value = "Zq7-value-4f81"
	db := h.aws.PutSecret(fakeaws.Secret{Name: "prod/db", String: `{"password":"` + value + `"}`})
	big := h.aws.PutSecret(fakeaws.Secret{Name: "prod/big", String: strings.Repeat("x", 65536)})
	large := map[string]string{}
	for i := range maxFiles {
		large["secrets.f"+string(rune('0'+i/10))+string(rune('0'+i%10))] = big
	}
	large["secrets.f00"] = db
	for _, c := range []struct {
		name    string
		options map[string]string
		dir     string // in place of the tmpfs
		want    []string
	}{
		{"all well", map[string]string{"secrets.db": db + ":password::"}, "",
			[]string{"tmpfs of volumes: ", "volume options", "volume option secrets.db: " + db + ":password::, version "}},
		{"no tmpfs", map[string]string{"secrets.db": db}, "/proc", []string{"tmpfs of volumes: /proc: values are written to a tmpfs alone", "volume options", "volume option secrets.db"}},
		{"a wrong option", map[string]string{"secretz.db": db}, "", []string{"tmpfs of volumes: ", `volume options: unknown volume option "secretz.db"; did you mean`}},
		{"not allowed", map[string]string{"secrets.db": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:other-AbCdEf"}, "",
			[]string{"tmpfs", "volume options", "secret:other-AbCdEf: volume option secrets.db: "}},
		{"not there", map[string]string{"secrets.a": db, "secrets.b": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/none-AbCdEf"}, "",
			[]string{"tmpfs", "volume options", "volume option secrets.a", "secret:prod/none-AbCdEf: get secret"}},
		{"large, but not too large", large, "", append([]string{"tmpfs", "volume options"}, slices.Repeat([]string{"volume option"}, maxFiles)...)},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := h.config
			if c.dir != "" {
				config.Secrets.ValuesDir, config.Secrets.VolumesDir = c.dir, c.dir
			}
			r := resolve.New(awsconf.New(config.AWS, "test", "1"), resolve.Options{Timeout: config.AWS.Timeout, Policy: config.Cache.Policy})
			defer r.Close()
			var said []string
			Check(t.Context(), Config{Config: &config, Resolver: r, Log: slog.New(slog.DiscardHandler)}, maps.Clone(c.options), func(what string, err error) {
				if err != nil {
					what += ": " + err.Error()
				}
				said = append(said, what)
			})
			if !slices.EqualFunc(said, c.want, strings.Contains) {
				t.Errorf("Check says %q, want %q", said, c.want)
			}
			if strings.Contains(strings.Join(said, "\n"), value) {
				t.Errorf("Check shows a value: %q", said)
			}
		})
	}
}

// A volume that the daemon has forgotten is removed by name; one that a container may have only with force.
func TestForget(t *testing.T) {
	h := newHost(t)
	db := h.aws.PutSecret(fakeaws.Secret{Name: "prod/db", String: "value"})
	v := h.volumes()
	h.create(v, "unused", "secrets.db="+db)
	h.create(v, "app", "secrets.db="+db)
	mustMount(t, v, "app", "c1")
	for _, c := range []struct {
		name  string
		force bool
		want  string // of the error; "" = it is removed
	}{
		{"none", false, "volume none: no such volume"},
		{"none", true, "volume none: no such volume"},
		{"unused", false, ""},
		{"app", false, "docker volume rm"},
		{"app", true, ""},
	} {
		err := v.Forget(c.name, c.force)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("Forget(%q, %v): %v, want %q", c.name, c.force, err, c.want)
		}
	}
	if all, err := v.List(); err != nil || len(all) > 0 {
		t.Errorf("List = %+v, %v", all, err)
	}
	if got := h.file("app", "db"); got != "error" {
		t.Errorf("the file of a volume that was removed is %q", got)
	}
}

// Status says how many containers wait for a volume, and which version of its secret each file has.
func TestWaitingAndVersions(t *testing.T) {
	h := newHost(t)
	h.wait, h.config.AWS.Timeout = 20*time.Second, 20*time.Second
	db := h.aws.PutSecret(fakeaws.Secret{Name: "prod/db", String: "value"})
	v := h.volumes()
	h.create(v, "app", "secrets.db="+db)
	h.aws.SetFault(fakeaws.Fault{Kind: fakeaws.Hang})
	mounted := make(chan error, 1)
	go func() { _, err := v.Mount(t.Context(), "app", "c1"); mounted <- err }()
	polltest.Until(t, 10*time.Second, "one waits", func() bool { return v.Status()[0].Waiting == 1 && len(h.aws.Calls()) > 0 })
	if err := h.aws.ClearFaults(); err != nil {
		t.Fatal(err)
	}
	if err := <-mounted; err != nil {
		t.Fatal(err)
	}
	if s := v.Status()[0]; s.Waiting != 0 || len(s.Versions["db"]) < 32 {
		t.Errorf("status after the Mount: %+v", s)
	}
	first := v.Status()[0].Versions["db"]
	h.aws.PutSecret(fakeaws.Secret{Name: "prod/db", String: "rotated"})
	if _, err := v.Refresh(t.Context(), "app"); err != nil {
		t.Fatal(err)
	}
	if second := v.Status()[0].Versions["db"]; second == first || h.file("app", "db") != "rotated" {
		t.Errorf("the version is %q after %q", second, first)
	}
}
