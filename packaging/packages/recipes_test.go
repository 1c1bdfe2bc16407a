//go:build integration

package packages_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/secretref/secretref/shared/fakeaws"
)

// recipes runs those of registries.md word for word, after the first start of the README, each as the user that it is for.
func recipes(t *testing.T, w *world) {
	login := `{"username":"deploy","password":"` + w.password + `"}`
	for _, name := range []string{"prod/other", "corp/registry"} {
		w.aws.PutSecret(fakeaws.Secret{Name: name, Suffix: "AbCdEf", String: login})
	}
	w.aws.PutParameter(fakeaws.Parameter{Name: "/registry/hub", Value: w.password})
	w.do(`useradd -m -G docker,sudo ec2-user
useradd -M -d /nonexistent -G docker runner
echo '%sudo ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/sudo`)
	as := map[string]string{
		"Several registries": "bash -euc", "Another user": "bash -euc",
		"sudo":        "runuser -u ec2-user -- env HOME=/home/ec2-user bash -euc",
		"A job of CI": "runuser -u runner -- env -u HOME bash -euc",
	}
	_, page, _ := strings.Cut(document(t, "packaging/docs/registries.md"), "\n## Recipes\n")
	found := regexp.MustCompile("(?s)### ([^\n]+)\n[^`].*?\n```sh\n(.*?)\n```").FindAllStringSubmatch(page, -1)
	if len(found) != len(as) {
		t.Fatalf("%d recipes, want %d", len(found), len(as))
	}
	for _, m := range found {
		pulls := regexp.MustCompile(`docker pull (\S+[^'\s])`).FindAllStringSubmatch(m[2], -1)
		if as[m[1]] == "" || len(pulls) == 0 {
			t.Errorf("recipe %q is not known, or pulls nothing", m[1])
			continue
		}
		for _, pull := range pulls {
			w.do("docker rmi -f " + pull[1] + "; docker image prune -f")
		}
		out := w.do("rm -rf ~/.docker\n" + as[m[1]] + " '" + strings.ReplaceAll(m[2], "'", `'\''`) + "'")
		for _, pull := range pulls {
			if !strings.Contains(out, "Status: Downloaded newer image for "+pull[1]) {
				t.Errorf("%s: %s is not pulled:\n%s", m[1], pull[1], out)
			}
		}
	}
	w.do("rm /etc/secretref/conf.d/registries.toml")
	if out := w.do("cat /home/*/.docker/config.json; find / /tmp -xdev -path '*tmp*' -name config.json"); strings.Contains(out, w.password) || strings.Contains(out, "tmp") {
		t.Errorf("what recipes leave:\n%s", out)
	}
}
