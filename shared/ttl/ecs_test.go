package ttl

import (
	"testing"
	"time"

	"github.com/secretref/secretref/shared/ecs"
)

// TestECSToken runs ECS's cases of which tokens are still good: those of 12 hours with this much of it left.
func TestECSToken(t *testing.T) {
	cases := ecs.Cases(ecs.RepositoryCredentials, "ecr-token-valid")
	if len(cases) != 3 {
		t.Fatalf("%d cases, want 3", len(cases))
	}
	for _, c := range cases {
		var input struct {
			ExpiresIn string `json:"expires_in"`
		}
		var expect struct {
			Usable bool `json:"cached_token_usable"`
		}
		if err := c.Read(&input, new(struct{}), &expect); err != nil {
			t.Fatal(err)
		}
		left, err := time.ParseDuration(input.ExpiresIn)
		if err != nil {
			t.Fatal(err)
		}
		w := Until(t0, t0.Add(12*time.Hour))
		if got := w.IsFresh(t0.Add(12*time.Hour - left)); got != expect.Usable {
			t.Errorf("%s: with %v left it is used: %v, want %v", c.ID, left, got, expect.Usable)
		}
	}
}
