package session

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/secretref/secretref/logplugin/dockerplugin"
	"github.com/secretref/secretref/logplugin/router"
)

// A router's look at itself in Check takes no longer.
const checkWait = 30 * time.Second

// Finding is what Check has found about one thing.
type Finding struct {
	What string
	Err  error // nil = it is well
}

// Trial is what Check tries.
type Trial struct {
	LogOpts map[string]string // as of docker run
	Line    string            // sent to the router when all else is well; "" means none
}

// Check tries a container's log options without a container: what they say, each reference for real, and the router. say
// is called for each finding as it is made; c.State is not needed.
func Check(ctx context.Context, c Config, t Trial, say func(Finding)) error {
	a, err := newAdmission(c)
	if err != nil {
		return err
	}
	o, checked, err := a.options("check", dockerplugin.Info{Config: t.LogOpts, ContainerID: strings.Repeat("0", 64), ContainerName: "/check"})
	if err != nil {
		say(Finding{"log options", err})
		return nil
	}
	say(Finding{strings.TrimSpace("log options: logDriver " + o.Router + " " + o.Address), nil})
	for _, note := range o.Notes {
		say(Finding{"log options: " + note, nil})
	}
	for _, name := range a.rules.InPlain(o) {
		say(Finding{"log-opt " + name, errors.New("it is written out, where docker inspect shows it; give it as secretOptions." + name)})
	}
	resolved := true
	for _, name := range slices.Sorted(maps.Keys(o.References)) {
		n := need("check", name, o.References[name])
		r := a.asker.Resolve(ctx, n)[0]
		f := Finding{"secretOptions." + name + ": " + n.Ref.String(), r.Err}
		if r.Err == nil {
			f.What += ", version " + r.VersionID
		}
		resolved = resolved && r.Err == nil
		say(f)
	}
	if !resolved {
		return nil
	}
	encoder, err := checked.Encoder(ctx, router.Session{ID: rand.Text(), ContainerID: strings.Repeat("0", 64), ContainerName: "/check", Tag: o.Tag, Host: a.hostname, About: o.About, Attrs: o.Attributes})
	if err != nil {
		say(Finding{"log options", err})
		return nil
	}
	r := checked.Router()
	defer r.Close() //nolint:errcheck // what was sent has been answered
	ctx, cancel := context.WithTimeout(ctx, checkWait)
	defer cancel()
	if v, ok := r.(router.Verifier); ok {
		err := v.Verify(ctx)
		say(Finding{"the router answers", err})
		if err != nil {
			return nil
		}
	}
	if h, ok := r.(router.CredentialVerifier); ok {
		err := h.VerifyCredentials(ctx)
		say(Finding{"the router takes the credentials", err})
		if err != nil {
			return nil
		}
	}
	if t.Line != "" {
		say(Finding{"the router takes a line: " + t.Line, sendLine(ctx, r, encoder, t.Line)})
	}
	return nil
}

// sendLine sends one line, as a container would write it.
func sendLine(ctx context.Context, r router.Router, e router.Encoder, line string) error {
	var b router.Batch
	b.Append(e, &router.Record{TimeNano: time.Now().UnixNano(), Source: []byte("stdout"), Line: []byte(line)})
	if b.Len() == 0 {
		return errors.New("the router leaves such a line out; give one that is not white space alone")
	}
	return r.Send(ctx, &b)
}

// CheckStateDir looks at a state directory without taking it.
func CheckStateDir(path string) error {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil // serve makes it
	case err != nil:
		return err
	case !st.IsDir():
		return fmt.Errorf("%s is not a directory; give another as state_dir under [logs]", path)
	}
	return nil
}
