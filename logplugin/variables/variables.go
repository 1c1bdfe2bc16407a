// Package variables gives containers of secretref-runtime their secrets as variables: it answers the questions of
// logplugin/ociruntime/ask.
//
// A container that was given its variables before, and cannot have them at the moment, is told so: it starts with a stand-in that
// ends, and its restart policy tries again. For one that is new the error is better, because docker run shows it.
package variables

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/secretref/secretref/logplugin/ociruntime/ask"
	"github.com/secretref/secretref/logplugin/references"
	"github.com/secretref/secretref/logplugin/requests"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/resolve"
	"github.com/secretref/secretref/shared/secretref"
)

// Limits of one container.
const (
	maxSecrets   = 500
	maxReference = 4096      // bytes
	maxName      = 256       // bytes of a variable's name
	maxVariable  = 128 << 10 // bytes of NAME=VALUE with the 0 behind it: MAX_ARG_STRLEN of the kernel
	maxAll       = 2 << 20   // bytes of all together: a quarter of the usual limit of the stack, which the kernel takes
)

// Waits for AWS.
const (
	waitBefore = 2 * time.Second // of a container that was given its variables before, which has a stand-in otherwise
	waitMost   = 20 * time.Second
)

// Volumes says of a volume of secrets what it lacks.
type Volumes interface {
	// Incomplete returns why a volume has not all of its files, or nil.
	Incomplete(name string) error
}

// Config is what a Service needs.
type Config struct {
	StateDir string // of the log driver
	Config   *config.Config
	Resolver *resolve.Resolver
	Volumes  Volumes // nil = this host has none
	Broken   error   // why the configuration on disk cannot be used; nil means that it can
	Log      *slog.Logger
}

// Service answers secretref-runtime. It is safe for concurrent use.
type Service struct {
	o          Config
	allowed    references.Allowed
	asker      *references.Asker
	remembered *remembered
	requests.Table
}

// New returns a Service.
func New(o Config) *Service {
	return &Service{o: o, allowed: references.InSecrets(o.Config.Secrets), asker: references.NewAsker(o.Config, o.Resolver), remembered: newRemembered(o.StateDir)}
}

// Containers returns how many containers were given their variables before, as far as they are remembered.
func (s *Service) Containers() int { return s.remembered.count() }

// Attention returns why a person should look, one line each.
func (s *Service) Attention() []string { return s.Refused("variables of container %s: %s") }

// Answer answers one question.
func (s *Service) Answer(ctx context.Context, q ask.Question) ask.Answer {
	before, err := s.remembered.has(q.Container)
	if err != nil {
		s.o.Log.Error("it is not known which containers were given their variables before: they are taken for new", "error", err)
	}
	a := ask.Answer{Before: before}
	at := requests.Status{Name: q.Container[:min(len(q.Container), 12)], Asked: time.Now().UTC()}
	for _, r := range q.Secrets[:min(len(q.Secrets), maxSecrets)] {
		at.References = append(at.References, shown(r.Name)+"="+shown(r.ValueFrom))
	}
	a.Variables, err = s.resolve(ctx, q, before)
	if err == nil && !q.Exec && !before {
		err = s.remember(q.Container)
	}
	if err != nil {
		a.Variables, a.Error, a.Passing = nil, fault.OneLine(err.Error()), passes(err)
		at.LastError = a.Error
		s.o.Log.Error("a container does not get its variables", "container", q.Container, "before", before, "error", a.Error)
	}
	s.Note(at)
	return a
}

// shown is a text for status that may be anything: only what is a reference is shown.
func shown(text string) string {
	if ref, err := references.Parse(text); err == nil && len(text) <= maxReference {
		return ref.String()
	}
	return "?"
}

// remember keeps that a container had its variables. One that is not remembered would not come up again while AWS is away.
func (s *Service) remember(id string) error {
	if !containerID.MatchString(id) {
		return errors.New("the id of the container is not one of Docker's")
	}
	if err := s.remembered.add(id); err != nil {
		s.o.Log.Warn("it cannot be kept that a container had its variables; it will be taken for new", "container", id, "error", err)
	}
	return nil
}

// passes reports whether err may pass without a change.
func passes(err error) bool {
	return errors.Is(err, errIncomplete) || fault.KindOf(err).Transient()
}

// errIncomplete says that a volume lacks files.
var errIncomplete = errors.New("the volume is not complete")

// resolve returns the variables of a container.
func (s *Service) resolve(ctx context.Context, q ask.Question, before bool) ([]ask.Variable, error) {
	needs, err := s.needs(q)
	if err != nil {
		return nil, err
	}
	if err := s.volumes(q.Volumes); err != nil {
		return nil, err
	}
	wait := min(cmp.Or(s.o.Config.AWS.Timeout, waitMost), waitMost)
	if before {
		wait = min(wait, waitBefore)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if !q.Exec { // a container that starts has the value of this moment
		s.asker.Renew(needs...)
	}
	results := s.asker.Resolve(ctx, needs...)
	var variables []ask.Variable
	all := 0
	for i, r := range results {
		if r.Err != nil {
			return nil, fmt.Errorf("%s: %w", needs[i].Where, r.Err)
		}
		found := parseFile(r.Value.Reveal())
		if i < len(q.Secrets) {
			found = []ask.Variable{{Name: q.Secrets[i].Name, Value: r.Value.Reveal()}}
		}
		for _, v := range found {
			if all += len(v.Name) + len(v.Value) + 2; all > maxAll {
				return nil, fmt.Errorf("the variables have more than %d bytes together, and Linux starts no process with them", maxAll)
			}
			if err := checkVariable(v); err != nil {
				return nil, fmt.Errorf("%s: %w", needs[i].Where, err)
			}
		}
		variables = append(variables, found...)
	}
	return variables, nil
}

// volumes checks that the volumes of a container are complete.
func (s *Service) volumes(names []string) error {
	for _, name := range names {
		if s.o.Volumes == nil {
			continue
		}
		if err := s.o.Volumes.Incomplete(name); err != nil {
			return fmt.Errorf("%w: %w", errIncomplete, err)
		}
	}
	return nil
}

// needs returns what AWS is to be asked for: the secrets, in the order of the question, and then the environment files.
func (s *Service) needs(q ask.Question) (needs []references.Need, err error) {
	if len(q.Secrets) > maxSecrets {
		return nil, fmt.Errorf("the container has %d variables by reference, and at most %d are taken", len(q.Secrets), maxSecrets)
	}
	add := func(where string, ref secretref.Ref) error {
		if err := s.allowed.Check(ref); err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		needs = append(needs, references.Need{Ref: ref, Where: where, For: "container " + q.Container + ", " + where})
		return nil
	}
	for _, r := range q.Secrets {
		if err := checkName(r.Name); err != nil {
			return nil, err
		}
		where := "variable secrets." + r.Name
		if len(r.ValueFrom) > maxReference {
			return nil, fmt.Errorf("%s: the reference is longer than %d bytes", where, maxReference)
		}
		ref, err := references.Parse(r.ValueFrom)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
		if err := add(where, ref); err != nil {
			return nil, err
		}
	}
	files, err := parseFiles(q.EnvironmentFiles)
	if err != nil {
		return nil, err
	}
	for _, ref := range files {
		if err := add("environment file "+ref.String(), ref); err != nil {
			return nil, err
		}
	}
	if s.o.Broken != nil && len(needs) > 0 {
		return nil, fmt.Errorf("the configuration of secretref is broken: %w", s.o.Broken)
	}
	return needs, nil
}

// checkName does not quote a name: it may be anything.
func checkName(name string) error {
	if name == "" || len(name) > maxName || strings.ContainsAny(name, "=\x00") || !utf8.ValidString(name) {
		return fmt.Errorf("the name of a variable by reference has 1 to %d bytes of UTF-8 without =", maxName)
	}
	return nil
}

// checkVariable says what the kernel or the container runtime would not take.
func checkVariable(v ask.Variable) error {
	name := v.Name
	if v.File { // whatever stands before a = in a file that is secret
		name = "a variable"
	}
	switch {
	case strings.ContainsRune(v.Value, 0):
		return fmt.Errorf("the value of %s has a byte 0, which ends a variable; mount it as a file instead", name)
	case !utf8.ValidString(v.Value):
		return fmt.Errorf("the value of %s is not UTF-8, which Docker takes in no variable; mount it as a file instead", name)
	case len(v.Name)+len(v.Value)+2 > maxVariable:
		return fmt.Errorf("%s has %d bytes, and Linux takes at most %d in a variable; mount it as a file instead", name, len(v.Value), maxVariable-len(v.Name)-2)
	}
	return nil
}
