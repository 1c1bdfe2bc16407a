package ecs

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestEveryNamedCaseExists(t *testing.T) {
	var ids []string
	for _, c := range all() {
		ids = append(ids, c.ID)
		if !slices.Contains([]string{ValueFrom, RepositoryCredentials, SecretOptions}, c.Kind) {
			t.Errorf("case %s has the unknown kind %q", c.ID, c.Kind)
		}
	}
	if len(ids) < 106 {
		t.Errorf("only %d cases", len(ids))
	}
	for id := range NotOurs() {
		if !slices.Contains(ids, id) {
			t.Errorf("NotOurs names %s, which is not a case", id)
		}
	}
	for _, d := range Differences() {
		for _, id := range d.Cases {
			if !slices.Contains(ids, id) {
				t.Errorf("the difference %q names %s, which is not a case", d.What, id)
			}
		}
	}
}

// Each of these prefixes has its test: sm- and ssm- in shared/resolve, rc- in credhelper/payload and shared/resolve,
// host-auth- in shared/config, ecr- in shared/resolve and shared/ttl, so- and shim- in logplugin/options; of tmds- there are
// none but those in NotOurs.
func TestEveryCaseHasATest(t *testing.T) {
	for _, c := range all() {
		if !slices.ContainsFunc([]string{"sm-", "ssm-", "rc-", "host-auth-", "ecr-", "so-", "shim-", "tmds-"}, func(p string) bool { return strings.HasPrefix(c.ID, p) }) {
			t.Errorf("no package tests the case %s", c.ID)
		}
	}
}

func TestTheDocumentHasTheTable(t *testing.T) {
	page, err := os.ReadFile("../../packaging/docs/differences.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), Table()) {
		t.Errorf("differences.md does not have the table of differences as it is here:\n%s", Table())
	}
}
