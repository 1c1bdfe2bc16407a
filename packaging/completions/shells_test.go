//go:build integration

package completions_test

import (
	"strings"
	"testing"
)

// zsh can only be asked whether it reads the files.
func TestZsh(t *testing.T) {
	for _, p := range programs {
		if out, err := shell(t, "zsh", "-f", "-n", "_"+p.name); err != nil || out != "" {
			t.Errorf("_%s: %v\n%s", p.name, err, out)
		}
	}
	if out, err := shell(t, "zsh", "-f", "-n", "-c", "case x in"); err == nil {
		t.Errorf("zsh reads what is not whole: %s", out)
	}
}

// What fish offers for words of a command line.
func TestFish(t *testing.T) {
	for line, want := range map[string]string{
		"secretref-logdriver sta":                 "status",
		"secretref-logdriver status --wa":         "--watch",
		"docker-credential-secretref configure p": "podman",
		"docker-credential-secretref check --no-": "--no-clients",
	} {
		name, _, _ := strings.Cut(line, " ")
		out, err := shell(t, "fish", "--no-config", "--private", "-c", "source "+name+".fish; complete -C '"+line+"'")
		offered, _, _ := strings.Cut(out, "\t")
		if err != nil || strings.TrimSpace(offered) != want {
			t.Errorf("%s: fish offers %q, %v, want %s", line, out, err, want)
		}
	}
}
