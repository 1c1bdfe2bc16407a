// Package delegate asks another credential helper: docker-credential-SUFFIX from PATH.
//
// Use it for hosts that no rule of ours maps, when the configuration names a helper for them. It speaks the client's
// side of the protocol of docker-credential-helpers.
//
// It promises to come back: the helper and its process group are killed when the context ends, and a grandchild that
// keeps the pipe open (gpg-agent) is not waited for. What the helper prints is bounded. Of a failed get nothing that
// it printed is repeated: an answer may be in it. It refuses to run this program again, directly or through the other helper.
package delegate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/docker/docker-credential-helpers/credentials"

	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/secret"
)

// Marker is set to 1 in the environment of a delegate, and so of everything that it starts.
const Marker = "SECRETREF_DELEGATE"

// The limits of what a helper may take and say.
const (
	defaultTimeout = 10 * time.Second // for a context without a deadline
	pipeWait       = 250 * time.Millisecond
	maxStdout      = 1 << 20
	maxStderr      = 4 << 10
)

const program = "docker-credential-"

// ErrNotFound says that the helper has no credentials for the server. Its text is the one of the protocol.
var ErrNotFound = errors.New("credentials not found in native keychain")

// Credentials is what the helper answered. Either may be empty, but not both: that is ErrNotFound.
type Credentials struct {
	Username string
	Secret   secret.Value
}

// Helper is a credential helper that was found and is not this program.
type Helper struct {
	name string // docker-credential-SUFFIX
	path string
}

// Nested reports whether this process was started by a delegate of another secretref: then it must not delegate again,
// or two helpers that name each other would start processes for ever.
func Nested(getenv func(string) string) bool { return getenv(Marker) != "" }

// Find looks for docker-credential-SUFFIX in PATH. The error says what is wrong in one line; it is an exec.ErrNotFound
// when there is no such program.
func Find(suffix string) (*Helper, error) { return find(suffix, "/proc/self/exe") }

func find(suffix, self string) (*Helper, error) {
	if suffix == "" || strings.Trim(suffix, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" {
		return nil, fmt.Errorf("credential helper %q: not a helper's suffix; write what follows docker-credential- in the program's name, without a path", suffix)
	}
	name := program + suffix
	if suffix == "secretref" {
		return nil, fmt.Errorf("credential helper %s: this is secretref itself; name another helper", name)
	}
	path, err := exec.LookPath(name)
	if errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("credential helper %s: %w, which is %s; install it, or add its directory to the PATH of the program that pulls", name, exec.ErrNotFound, os.Getenv("PATH"))
	}
	if err != nil {
		return nil, fmt.Errorf("credential helper %s: %w", name, err)
	}
	theirs, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("credential helper %s: %w", name, err)
	}
	if ours, err := os.Stat(self); err == nil && os.SameFile(ours, theirs) {
		return nil, fmt.Errorf("credential helper %s: %s is secretref itself under another name; name another helper", name, path)
	}
	return &Helper{name: name, path: path}, nil
}

// Get asks for the credentials of serverURL, which is passed on as it is.
func (h *Helper) Get(ctx context.Context, serverURL string) (Credentials, error) {
	out, err := h.run(ctx, "get", serverURL, nil)
	if err != nil {
		return Credentials{}, err
	}
	var answer struct{ Username, Secret *string }
	switch {
	case len(bytes.TrimSpace(out)) == 0:
		return Credentials{}, h.errorf("get", "it succeeded and printed nothing; run it by hand, or name another helper")
	// A decoder, not Unmarshal: clients read one value and ignore what follows. Its error would quote the output.
	case json.NewDecoder(bytes.NewReader(out)).Decode(&answer) != nil || answer.Username == nil || answer.Secret == nil:
		return Credentials{}, h.errorf("get", "it printed something else than a JSON object with the strings Username and Secret; run it by hand, or name another helper")
	case *answer.Username == "" && *answer.Secret == "":
		return Credentials{}, ErrNotFound // the other way to say so; docker pulls anonymously on it
	}
	return Credentials{*answer.Username, secret.New(*answer.Secret)}, nil
}

// Store hands credentials over to the helper.
func (h *Helper) Store(ctx context.Context, serverURL, username string, s secret.Value) error {
	in, err := json.Marshal(struct{ ServerURL, Username, Secret string }{serverURL, username, s.Reveal()})
	if err != nil {
		return h.errorf("store", "the credentials cannot be written as JSON")
	}
	_, err = h.run(ctx, "store", string(in)+"\n", hide(s))
	return err
}

// Erase makes the helper forget serverURL. ErrNotFound says that there was nothing to forget.
func (h *Helper) Erase(ctx context.Context, serverURL string) error {
	_, err := h.run(ctx, "erase", serverURL, nil)
	return err
}

// hide returns what makes an error of the helper safe to print, if it repeats what it was given.
func hide(s secret.Value) *strings.Replacer {
	if s.IsEmpty() {
		return nil
	}
	quoted, err := json.Marshal(s.Reveal())
	if err != nil {
		return strings.NewReplacer(s.Reveal(), "[redacted]")
	}
	return strings.NewReplacer(s.Reveal(), "[redacted]", string(quoted[1:len(quoted)-1]), "[redacted]")
}

func (h *Helper) errorf(action, format string, args ...any) error {
	return fmt.Errorf("credential helper %s: %s: %w", h.name, action, fmt.Errorf(format, args...))
}

// failure is the error for a helper that exited with an error. The protocol puts the reason on stdout; some helpers
// use stderr. For a get only what cannot be a part of an answer is shown. Otherwise it is one plain line of stdout, and
// what stderr holds.
func (h *Helper) failure(action string, state error, stdout, stderr *bounded, hidden *strings.Replacer) error {
	reason, said := strings.TrimSpace(stdout.buf.String()), stderr.buf.String()
	if reason == ErrNotFound.Error() {
		return ErrNotFound
	}
	if action == "get" {
		if !isProtocol(reason) {
			reason = "run " + h.name + " get by hand to see why"
		}
		return h.errorf(action, "%w; %s", state, reason)
	}
	if hidden != nil {
		if stderr.over {
			said = "" // its end may be half of the secret
		}
		reason, said = hidden.Replace(reason), hidden.Replace(said)
	}
	if strings.ContainsAny(reason, "{}\"\r\n") || len(reason) > 300 {
		reason = ""
	}
	if said = fault.OneLine(strings.ToValidUTF8(said, "?")); said != "" && said != reason {
		reason = strings.TrimPrefix(reason+"; "+said, "; ")
	}
	if reason == "" {
		reason = "no reason given; run it by hand"
	}
	return h.errorf(action, "%w: %s", state, fault.OneLine(reason))
}

// isProtocol reports whether reason is one of the other fixed texts of docker-credential-helpers.
func isProtocol(reason string) bool {
	return credentials.IsCredentialsMissingServerURLMessage(reason) || credentials.IsCredentialsMissingUsernameMessage(reason)
}
