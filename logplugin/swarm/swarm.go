// Package swarm gives secrets to the services of a swarm: those of docker secret create --driver, whose label valueFrom is a
// reference.
//
// A manager asks for the value of each task. The value goes to the node of the task and into its memory; the managers keep
// the label alone. A task that runs keeps its value, and the next one has the present value. What went wrong stands in the
// log of the manager's daemon and here in Status: the task itself only says that the secret was not found.
package swarm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/secretref/secretref/logplugin/references"
	"github.com/secretref/secretref/logplugin/requests"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/resolve"
	"github.com/secretref/secretref/shared/secret"
)

// Label is the label of a secret that has its reference.
const Label = "valueFrom"

const (
	maxReference = 4096 // bytes
	maxShown     = 200  // bytes of a name
)

// Config is what Secrets need.
type Config struct {
	Config   *config.Config
	Resolver *resolve.Resolver
	Broken   error // why the configuration on disk cannot be used; nil means that it can
	Log      *slog.Logger
}

// Secrets answers a manager. It is safe for concurrent use.
type Secrets struct {
	o       Config
	allowed references.Allowed
	asker   *references.Asker
	requests.Table
}

// New returns Secrets. It may name what volumes may: allow_references in [secrets].
func New(o Config) *Secrets {
	return &Secrets{o: o, allowed: references.InSecrets(o.Config.Secrets), asker: references.NewAsker(o.Config, o.Resolver)}
}

// Secret returns the value of the secret name with these labels. An error is for people, in one line.
func (s *Secrets) Secret(ctx context.Context, name string, labels map[string]string) (secret.Value, error) {
	at := requests.Status{Name: name[:min(len(name), maxShown)], Asked: time.Now().UTC()}
	v, err := s.resolve(ctx, &at, labels)
	if err != nil {
		at.LastError = fault.OneLine(err.Error())
		s.o.Log.Error("a secret of the swarm is refused, and its task does not start", "secret", at.Name, "error", at.LastError)
	}
	s.Note(at)
	return v, err
}

func (s *Secrets) resolve(ctx context.Context, at *requests.Status, labels map[string]string) (secret.Value, error) {
	text, err := labelOf(labels)
	if err != nil {
		return secret.Value{}, err
	}
	ref, err := references.Parse(text)
	if err != nil {
		return secret.Value{}, fmt.Errorf("label %s: %w", Label, err)
	}
	at.References = []string{ref.String()}
	if s.o.Broken != nil {
		return secret.Value{}, fmt.Errorf("the configuration of secretref is broken: %w", s.o.Broken)
	}
	if err := s.allowed.Check(ref); err != nil {
		return secret.Value{}, fmt.Errorf("label %s: %w", Label, err)
	}
	need := references.Need{Ref: ref, Where: "label " + Label, For: "swarm secret " + at.Name}
	s.asker.Renew(need) // a task has the value of the moment at which it starts
	r := s.asker.Resolve(ctx, need)[0]
	if r.Err != nil {
		return secret.Value{}, fmt.Errorf("label %s: %w", Label, r.Err)
	}
	if r.Value.IsEmpty() {
		return secret.Value{}, fmt.Errorf("%s is empty, and Docker takes no empty secret", ref)
	}
	return r.Value, nil
}

// labelOf returns the reference among the labels. It may be a secret that somebody put in its place, so errors do not quote it.
func labelOf(labels map[string]string) (string, error) {
	text, ok := labels[Label]
	switch {
	case len(text) > maxReference:
		return "", fmt.Errorf("the reference in label %s is longer than %d bytes", Label, maxReference)
	case ok:
		return text, nil
	}
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if len(name) < maxShown && config.Nearest(name, []string{Label}) != "" {
			return "", fmt.Errorf("the secret has the label %q; did you mean %s?", name, Label)
		}
	}
	return "", errors.New("the secret has no label " + Label + "; create it with docker secret create --driver PLUGIN --label " + Label + "=REFERENCE NAME")
}

// Attention returns why a person should look, one line each: a secret that was refused keeps a task from starting.
func (s *Secrets) Attention() []string { return s.Refused("secret %s of the swarm: %s") }
