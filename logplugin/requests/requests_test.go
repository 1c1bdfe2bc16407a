package requests

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// A refusal that was not repeated for a while stops being a reason to look: its service was removed.
func TestAttentionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Table
		s.Note(Status{Name: "db", Asked: time.Now(), LastError: "denied"})
		if got := s.Refused("secret %s of the swarm: %s"); len(got) != 1 || got[0] != "secret db of the swarm: denied" {
			t.Errorf("attention %q", got)
		}
		time.Sleep(recent)
		if got := s.Refused("secret %s of the swarm: %s"); len(got) != 0 {
			t.Errorf("attention after %v: %q", recent, got)
		}
	})
}

// However many names are asked for, status keeps the latest.
func TestBound(t *testing.T) {
	var s Table
	for i := range maxKnown + 10 {
		s.Note(Status{Name: fmt.Sprintf("%04d", i), Asked: time.Unix(int64(i), 0)})
	}
	if all := s.Status(); len(all) != maxKnown || all[0].Name != "0010" {
		t.Errorf("%d names from %s on, want %d from 0010 on", len(all), all[0].Name, maxKnown)
	}
}
