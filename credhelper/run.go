package credhelper

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/docker/docker-credential-helpers/credentials"

	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/hostcache"
)

// Name is the program that clients run.
const Name = "docker-credential-secretref"

// Exit statuses. Clients know only zero and the rest.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2 // a command line that cannot be read
)

// What a client may send: a server URL, or a JSON object with a password of at most 64 KiB, which JSON may write as six
// bytes each.
const (
	maxURL   = 4 << 10
	maxStore = 512 << 10
)

// Program is one run.
type Program struct {
	Args           []string // without the program's name
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	Version        string

	// NewFetcher is nil in the front program, which then must have HandOver.
	NewFetcher func(*config.Config) Fetcher
	// HandOver becomes the program that has a Fetcher, with these arguments and, unless nil, this standard input.
	// It returns only when it could not.
	HandOver func(args []string, stdin []byte) error
}

// Run carries out one command and returns the exit status.
func Run(ctx context.Context, p Program) (status int) {
	// A panic's text may hold anything. Its place is in the source, not on a user's terminal.
	defer func() {
		if recover() != nil {
			status = p.fail(errors.New("internal error (panic); please report it with the output of explain"))
		}
	}()
	if len(p.Args) == 0 {
		fmt.Fprint(p.Stderr, usage)
		return exitUsage
	}
	command, rest := p.Args[0], p.Args[1:]
	switch command {
	case credentials.ActionGet, credentials.ActionStore, credentials.ActionErase, credentials.ActionList:
		if len(rest) > 0 {
			return p.fail(fmt.Errorf("%s takes no argument: the client writes the registry to standard input; see --help", command))
		}
		return p.protocol(ctx, command)
	case credentials.ActionVersion, "--version", "-v":
		fmt.Fprintf(p.Stdout, "%s (github.com/secretref/secretref) %s\n", Name, p.Version)
		return exitOK
	case "help", "--help", "-h":
		fmt.Fprint(p.Stdout, usage)
		return exitOK
	case "check":
		return p.check(ctx, rest)
	case "explain":
		return p.explain(rest)
	case "configure":
		return p.configure(rest)
	}
	fmt.Fprintf(p.Stderr, "%s: unknown command %q; see --help\n", Name, command)
	return exitUsage
}

// protocol serves one of the actions of the credential helper protocol.
func (p Program) protocol(ctx context.Context, action string) int {
	if action == credentials.ActionStore && p.NewFetcher == nil {
		// Its input holds a password: it is read once, by the program that needs it.
		return p.fail(p.HandOver(p.Args, nil))
	}
	input, err := p.input(action)
	if err != nil {
		return p.fail(err)
	}
	cfg, err := config.Load(config.Paths(p.Getenv))
	if err != nil {
		return p.brokenConfig(action, input, err)
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.AWS.Timeout)
	defer cancel()
	h := p.helper(ctx, cfg)
	var out bytes.Buffer
	if action == credentials.ActionStore {
		err = store(h, input)
	} else {
		err = credentials.HandleCommand(h, action, bytes.NewReader(input), &out)
	}
	switch {
	case err == nil:
	case action == credentials.ActionGet && cfg.NotFound == config.NotFoundAnonymous && credentials.IsErrCredentialsNotFound(err):
		anonymous(&out, input)
	default:
		return p.fail(err)
	}
	if _, err := p.Stdout.Write(out.Bytes()); err != nil {
		return exitError
	}
	return exitOK
}

func (p Program) helper(ctx context.Context, cfg *config.Config) *Helper {
	h := &Helper{
		ctx: ctx, cfg: cfg, getenv: p.Getenv,
		handOver: func(serverURL string) error {
			return p.HandOver([]string{credentials.ActionGet}, []byte(serverURL))
		},
	}
	if cfg.Cache.Store != config.StoreOff {
		h.cache = hostcache.Open(hostcache.Options{})
	}
	if p.NewFetcher != nil {
		h.fetcher = p.NewFetcher(cfg)
	}
	return h
}

// input reads what the client sent. The protocol's library joins several lines to one and has no limit that it names.
func (p Program) input(action string) ([]byte, error) {
	if action == credentials.ActionList {
		return nil, nil // "unused", says the protocol
	}
	limit := maxURL
	if action == credentials.ActionStore {
		limit = maxStore
	}
	in, err := io.ReadAll(io.LimitReader(p.Stdin, int64(limit)+1))
	in = bytes.TrimSpace(in)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read standard input: %w", err)
	case len(in) == 0:
		return nil, credentials.NewErrCredentialsMissingServerURL()
	case len(in) > limit:
		return nil, fmt.Errorf("standard input is longer than %d bytes; the client writes %s to it", limit, wants(action))
	case action != credentials.ActionStore && bytes.ContainsAny(in, "\r\n"):
		return nil, errors.New("standard input has more than one line; the client writes one server URL to it")
	}
	return in, nil
}

// store is the library's, but for two things: its errors quote the input, and its input may be no longer than 64 KiB,
// which JSON makes of a password of a sixth of that.
func store(h *Helper, input []byte) error {
	var c credentials.Credentials
	switch err := json.Unmarshal(input, &c); {
	case err != nil:
		return fmt.Errorf("standard input is not what store takes: %s", wants(credentials.ActionStore))
	case c.ServerURL == "":
		return credentials.NewErrCredentialsMissingServerURL()
	case c.Username == "":
		return credentials.NewErrCredentialsMissingUsername()
	}
	return h.Add(&c)
}

func wants(action string) string {
	if action == credentials.ActionStore {
		return `{"ServerURL": "...", "Username": "...", "Secret": "..."}`
	}
	return "one server URL"
}

// anonymous writes the empty answer that clients take for "no credentials": Nomad knows no other way of saying it.
func anonymous(out *bytes.Buffer, serverURL []byte) {
	_ = json.NewEncoder(out).Encode(credentials.Credentials{ServerURL: string(serverURL)})
}

// brokenConfig answers when the configuration cannot be used: a registry that it does not speak of stays as it is.
func (p Program) brokenConfig(action string, input []byte, err error) int {
	var broken *config.Error
	if !errors.As(err, &broken) {
		return p.fail(err)
	}
	switch action {
	case credentials.ActionErase:
		return exitOK // nothing can be cached that this configuration would find
	case credentials.ActionGet:
		if name, nerr := normalize(string(input)); nerr != nil || !broken.Concerns(name) {
			return p.fail(credentials.NewErrCredentialsNotFound())
		}
	}
	return p.fail(err)
}

// fail reports err as the protocol wants it, on standard output, and on standard error, which is what older clients
// show. "Not found" is an answer, not an error: standard error stays silent.
func (p Program) fail(err error) int {
	text := fault.OneLine(strings.TrimSpace(err.Error()))
	fmt.Fprintln(p.Stdout, text)
	if !credentials.IsErrCredentialsNotFound(err) {
		fmt.Fprintln(p.Stderr, Name+": "+text)
	}
	return exitError
}
