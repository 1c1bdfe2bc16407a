package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/secretref/secretref/shared/ecs"
	"github.com/secretref/secretref/shared/registryhost"
)

// TestECSHostAuth runs ECS's cases of which static credentials belong to which image as rules for these hosts: which
// rule speaks for an image is decided in the same way.
func TestECSHostAuth(t *testing.T) {
	cases := ecs.Cases(ecs.RepositoryCredentials, "host-auth-")
	if len(cases) < 13 {
		t.Fatalf("%d cases, want 13 or more", len(cases))
	}
	for _, c := range cases {
		var input struct{ Image string }
		var stored struct {
			HostAuth map[string][2]string `json:"host_auth"`
		}
		var expect struct{ Username, Password string }
		if err := c.Read(&input, &stored, &expect); err != nil {
			t.Fatal(err)
		}
		t.Run(c.ID, func(t *testing.T) {
			var text strings.Builder
			for key, pair := range stored.HostAuth {
				// The password stands in the reference's name, so that the answer shows which rule it was.
				fmt.Fprintf(&text, "[registries.%q]\ncredentialsParameter = %q\nusername = %q\n", key, pair[1], pair[0])
			}
			rule, ok := load(t, map[string]string{"config.toml": text.String()}).Rule(imageName(t, input.Image))
			if !ok {
				rule = &Registry{}
			}
			if rule.Username != expect.Username || rule.CredentialsParameter.Name != expect.Password {
				t.Errorf("image %s: rule for %q with %q, want %q with %q", input.Image, rule.Username, rule.CredentialsParameter.Name, expect.Username, expect.Password)
			}
		})
	}
}

// imageName is the registry and repository that an image reference names: without a dot, a colon or "localhost" in its
// first part it is one of Docker Hub.
func imageName(t *testing.T, image string) registryhost.Name {
	t.Helper()
	host, _, ok := strings.Cut(image, "/")
	if !ok || !strings.ContainsAny(host, ".:") && host != "localhost" {
		image = "docker.io/" + image
	}
	n, err := registryhost.Normalize(image)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
