package state_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/logplugin/state"
	"github.com/secretref/secretref/shared/secretref"
)

// firstFormat is how the version before sessions had numbers reads a state file: with encoding/json, which leaves out keys that it
// does not know. It is written out here so that it stays as it was.
type firstFormat struct {
	Version       int               `json:"version"`
	File          string            `json:"file"`
	ContainerID   string            `json:"containerId"`
	ContainerName string            `json:"containerName,omitempty"`
	Started       time.Time         `json:"started"`
	Router        string            `json:"logDriver"`
	Address       string            `json:"address,omitempty"`
	Plain         map[string]string `json:"options,omitempty"`
	References    map[string]string `json:"secretOptions,omitempty"`
	Tag           string            `json:"tag,omitempty"`
	Attributes    map[string]string `json:"attributes,omitempty"`
	SpoolMaxBytes int64             `json:"spoolMaxBytes"`
	SecretFailure string            `json:"secretFailure,omitempty"`
}

// firstVersion is the newest version of the format that it reads. A file that says more is kept, and its lines are not sent.
const firstVersion = 1

// Going back to the first version loses nothing: it goes on with sessions whose options it knows, and keeps the lines of the others,
// which have no logDriver for it. The next version after that finds all as it was.
func TestGoingBack(t *testing.T) {
	ref, err := secretref.Parse("arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/splunk-AbCdEf:token::")
	if err != nil {
		t.Fatal(err)
	}
	own := options.Plain{"tag": "web", "exclude-pattern": "health"}
	plain := session("/f/plain", "a")
	plain.ContainerName, plain.Number = "/web", 7
	plain.Options.Address, plain.Options.References = "https://hec.example.com:8088", map[string]secretref.Ref{"splunk-token": ref}
	plain.Options.Attributes, plain.Options.SpoolMaxBytes, plain.Options.SecretFailure = map[string]string{"tier": "front"}, 1<<30, options.SecretFailureFail
	plain.Options.Lines.ExcludePattern = "health" // which it overlooks: it sends every line
	named, unnamed := session("/f/named", "b"), session("/f/unnamed", "c")
	named.Options = options.Options{Destination: "prod", Router: "splunk", Plain: plain.Options.Plain, Own: own}
	unnamed.Options = options.Options{Unnamed: true, Own: own}
	for _, tt := range []struct {
		name   string
		meta   state.Session
		router string // what the first version sends it with; "" = it keeps the lines
		plain  map[string]string
	}{
		{"options of its own", plain, "splunk", plain.Options.Plain},
		{"a named destination", named, "", own},
		{"no destination yet", unnamed, "", own},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := t.TempDir()
			d := open(t, path, state.OS{})
			if err := d.Save(tt.meta); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(filepath.Join(path, "sessions", state.ID(tt.meta.File)+".json"))
			if err != nil {
				t.Fatal(err)
			}
			var got firstFormat
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatalf("the first version takes it for damaged: %v\n%s", err, text)
			}
			if got.Version < 1 || got.Version > firstVersion {
				t.Errorf("version %d, want one that the first version reads", got.Version)
			}
			if got.File != tt.meta.File || got.ContainerID != tt.meta.ContainerID || got.ContainerName != tt.meta.ContainerName || !got.Started.Equal(tt.meta.Started) {
				t.Errorf("it is the session of %s, %s, %s, %v", got.File, got.ContainerID, got.ContainerName, got.Started)
			}
			if got.Router != tt.router || !maps.Equal(got.Plain, tt.plain) {
				t.Errorf("router %q and options %v, want %q and %v", got.Router, got.Plain, tt.router, tt.plain)
			}
			o := tt.meta.Options
			if got.SpoolMaxBytes != o.SpoolMaxBytes || got.Tag != o.Tag || !maps.Equal(got.Attributes, o.Attributes) || got.SecretFailure != string(o.SecretFailure) {
				t.Errorf("%+v, want what belongs to the session", got)
			}
			if tt.router != "" && (got.Address != o.Address || len(got.References) != len(o.References) || got.References["splunk-token"] != ref.String()) {
				t.Errorf("address %q, references %v", got.Address, got.References)
			}
			_ = d.Close()
			all, err := open(t, path, state.OS{}).Load()
			if err != nil || len(all.Sessions) != 1 || all.Sessions[0].Number != tt.meta.Number || all.Sessions[0].Options.Unnamed != o.Unnamed || all.Sessions[0].Options.Destination != o.Destination {
				t.Errorf("after that: %+v, %v", all, err)
			}
		})
	}
}

// A version without numbers has the directory for a while. It empties the file of the lock, writes the states of its sessions without a
// number, and gives the marker of a container that starts another time. What it has begun comes after what was there, for good, and the next
// numbers are greater than all before; of the containers that it has started docker logs does not have the whole output.
func TestForwardAgain(t *testing.T) {
	path := t.TempDir()
	begin := func(d *state.Dir, file, container string) state.Session {
		t.Helper()
		s := session(file, container)
		s.Number = d.Number()
		if err := errors.Join(d.Save(s), d.Accept(container), d.SetWhole(container, true)); err != nil {
			t.Fatal(err)
		}
		return s
	}
	d := open(t, path, state.OS{})
	first := begin(d, "/f/first", "a")
	begin(d, "/f/other", "b")
	if err := errors.Join(d.Accept("b"), d.Remove("/f/other"), d.Close()); err != nil { // it starts again, and all is delivered
		t.Fatal(err)
	}

	old := firstFormat{Version: firstVersion, File: "/f/old", ContainerID: "a", Started: first.Started.Add(-time.Hour), Router: "splunk"} // the clock has stepped back
	text, err := json.Marshal(old)
	if err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Minute)
	err = errors.Join(os.WriteFile(filepath.Join(path, "lock"), []byte("123\n"), 0o600),
		os.WriteFile(filepath.Join(path, "sessions", state.ID(old.File)+".json"), text, 0o600),
		os.Chtimes(filepath.Join(path, "accepted", state.ID("a")), later, later))
	if err != nil {
		t.Fatal(err)
	}

	last := uint64(0)
	for _, when := range []string{"after that", "later"} {
		d = open(t, path, state.OS{})
		all, err := d.Load()
		if err != nil || len(all.Sessions) != 2 || all.Sessions[0].File != first.File || all.Sessions[0].Number != first.Number || all.Sessions[1].File != old.File {
			t.Fatalf("%s: %+v, %v; want %s and %s", when, all, err, first.File, old.File)
		}
		if n := all.Sessions[1].Number; n <= first.Number || last > 0 && n != last {
			t.Errorf("%s the session of the older version has the number %d, want one after %d that stays", when, n, first.Number)
		}
		last = all.Sessions[1].Number
		if n := d.Number(); n <= last {
			t.Errorf("%s the next number is %d, want one after %d", when, n, last)
		}
		if d.IsWhole("a") || !d.IsWhole("b") {
			t.Errorf("%s the output is whole: %v and %v, want false and true", when, d.IsWhole("a"), d.IsWhole("b"))
		}
		_ = d.Close()
	}
}
