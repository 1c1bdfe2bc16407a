package state

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// A driver that meets new containers for months does not remember all of them.
func TestAcceptedIsBounded(t *testing.T) {
	d := open(t, t.TempDir())
	const all = maxAccepted + 2*acceptedSlack
	for i := range all {
		if err := d.Accept(strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(filepath.Join(d.Path(), acceptedDir))
	if err != nil || len(entries) > maxAccepted+acceptedSlack {
		t.Errorf("%d containers are remembered (%v), want at most %d", len(entries), err, maxAccepted+acceptedSlack)
	}
	if !d.Accepted(strconv.Itoa(all - 1)) {
		t.Error("the last one is forgotten")
	}
}

func TestAccepted(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	for _, id := range []string{"c1", "c2", "../../c3", "c1"} {
		if d.Accepted(id) != (id == "c1" && d.Accepted("c2")) {
			t.Errorf("Accepted(%q) = %v at first", id, d.Accepted(id))
		}
		if err := d.Accept(id); err != nil {
			t.Fatal(err)
		}
		if !d.Accepted(id) {
			t.Errorf("%q is not remembered", id)
		}
	}
	old := time.Now().Add(-time.Hour)
	for _, id := range []string{"c1", "c2"} {
		if err := os.Chtimes(filepath.Join(path, acceptedDir, ID(id)), old, old); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Accept("c1"); err != nil { // again: it is new
		t.Fatal(err)
	}
	if _, err := d.forgetOldest(2); err != nil {
		t.Fatal(err)
	}
	if !d.Accepted("c1") || d.Accepted("c2") || !d.Accepted("../../c3") {
		t.Errorf("after forgetting: %v %v %v", d.Accepted("c1"), d.Accepted("c2"), d.Accepted("../../c3"))
	}
}
