package credhelper

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

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

// How long a run of the protocol may take while no configuration says it, and how much of that is kept back, at most, for
// telling what went wrong.
const (
	defaultTimeout = 10 * time.Second
	lastWords      = 250 * time.Millisecond
)

var errPanic = errors.New("internal error (panic); please report it with the output of explain")

// Program is one run.
type Program struct {
	Args           []string // without the program's name
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	Version        string

	// NewFetcher is nil in the front program, which then must have HandOver.
	NewFetcher func(*config.Config) Fetcher
	// HandOver becomes the program that has a Fetcher, with these arguments, unless nil this standard input, and these
	// variables beside the environment. It returns only when it could not.
	HandOver func(args []string, stdin []byte, env ...string) error
}

// Run carries out one command and returns the exit status.
func Run(ctx context.Context, p Program) (status int) {
	defer func() {
		if recover() != nil { // its text may hold anything
			status = p.fail(errPanic)
		}
	}()
	if len(p.Args) == 0 {
		fmt.Fprint(p.Stderr, usage)
		return exitUsage
	}
	name, rest := p.Args[0], p.Args[1:]
	if wantsHelp(rest) {
		if c, ok := findCommand(name); ok {
			fmt.Fprint(p.Stdout, c.usage())
			return exitOK
		}
	}
	switch name {
	case credentials.ActionVersion, "--version", "-v":
		fmt.Fprintf(p.Stdout, "%s (github.com/secretref/secretref) %s\n", Name, p.Version)
		return exitOK
	case "help", "--help", "-h":
		if len(rest) == 0 {
			fmt.Fprint(p.Stdout, usage)
			return exitOK
		}
		if c, ok := findCommand(rest[0]); ok {
			fmt.Fprint(p.Stdout, c.usage())
			return exitOK
		}
		return p.complain(unknownCommand(rest[0]))
	case "check":
		return p.check(ctx, rest)
	case "explain":
		return p.explain(rest)
	case "configure":
		return p.configure(rest)
	case "iam-policy":
		return p.policy(rest)
	}
	if !isProtocol(name) {
		return p.complain(unknownCommand(name))
	}
	if len(rest) > 0 {
		return p.fail(fmt.Errorf("%s takes no argument: the client writes the registry to standard input; see --help", name))
	}
	return p.protocol(ctx, name)
}

// protocol serves one of the actions of the credential helper protocol. No client sets a limit for that, so this one
// does: what is not answered by then is given up, whatever it hangs in, and the process ends with it.
func (p Program) protocol(ctx context.Context, action string) int {
	if action == credentials.ActionStore && p.NewFetcher == nil {
		// Its input holds a password: it is read once, by the program that needs it.
		return p.fail(p.HandOver(p.Args, nil))
	}
	began := time.Now()
	done := make(chan outcome, 1)
	loaded := make(chan time.Duration, 1)
	var heard atomic.Bool
	go p.serve(ctx, action, began, loaded, &heard, done)
	var o outcome
	timeout := defaultTimeout
	for limit := time.NewTimer(timeout); ; {
		select {
		case timeout = <-loaded:
			limit.Reset(timeout - time.Since(began))
			continue
		case o = <-done:
		case <-limit.C:
			o.err = fmt.Errorf("no answer within %v, for a reason that is not known; please report it with the output of explain", timeout)
			if !heard.Load() {
				o.err = fmt.Errorf("standard input was not closed within %v; the client writes %s to it and closes it", timeout, wants(action))
			}
		}
		break
	}
	if o.err != nil {
		status := p.fail(o.err)
		p.log(action, o.registry, o.err)
		return status
	}
	if _, err := p.Stdout.Write(o.out); err != nil {
		return exitError
	}
	return exitOK
}

// outcome is the result of an action.
type outcome struct {
	out      []byte
	err      error
	registry string // that the input of a failed action names; "" when it was not read
}

// serve carries out an action and sends one outcome to done. loaded receives how long the whole may take, as soon as it is known;
// heard is set when the input has been read.
func (p Program) serve(ctx context.Context, action string, began time.Time, loaded chan<- time.Duration, heard *atomic.Bool, done chan<- outcome) {
	o := outcome{err: errPanic}
	defer func() {
		_ = recover() // its text may hold anything
		done <- o
	}()
	cfg, broken := config.Load(config.Paths(p.Getenv))
	if broken == nil && p.debugs() {
		p.debug("configuration: " + list(cfg.Files, "no file was found"))
	}
	timeout := defaultTimeout
	if broken == nil {
		timeout = cfg.AWS.Timeout
	}
	timeout = p.remaining(began, timeout)
	loaded <- timeout
	ctx, cancel := context.WithDeadline(ctx, began.Add(timeout-min(timeout/20, lastWords)))
	defer cancel()
	input, err := p.input(action)
	heard.Store(true)
	var out []byte
	switch {
	case err != nil:
	case broken != nil:
		out, err = withoutConfig(action, input, broken)
	default:
		out, err = p.answer(ctx, began.Add(timeout), cfg, action, input)
	}
	o = outcome{out: out, err: err}
	if err != nil {
		o.registry = registryOf(action, input)
	}
}

// deadline names the variable in which the front program tells the other one how long the run may still take: to the
// client they are one.
const deadline = "SECRETREF_DEADLINE"

// remaining is how long this run may take of timeout.
func (p Program) remaining(began time.Time, timeout time.Duration) time.Duration {
	ms, err := strconv.ParseInt(p.Getenv(deadline), 10, 64)
	if err != nil {
		return timeout
	}
	return max(min(timeout, time.UnixMilli(ms).Sub(began)), time.Millisecond)
}

// answer returns what goes to standard output.
func (p Program) answer(ctx context.Context, end time.Time, cfg *config.Config, action string, input []byte) ([]byte, error) {
	h := p.helper(ctx, end, cfg, action, input)
	defer h.cache.Close() //nolint:errcheck // only looked into
	switch action {
	case credentials.ActionStore:
		return nil, store(h, input)
	case actionKubelet:
		return h.kubelet(input)
	}
	var out bytes.Buffer
	err := credentials.HandleCommand(h, action, bytes.NewReader(input), &out)
	if action == credentials.ActionGet && credentials.IsErrCredentialsNotFound(err) {
		return notFound(cfg.NotFound, input)
	}
	return out.Bytes(), err
}

// withoutConfig answers when the configuration cannot be used: a registry that it does not speak of stays as it is.
func withoutConfig(action string, input []byte, err error) ([]byte, error) {
	var broken *config.Error
	switch {
	case !errors.As(err, &broken):
	case action == credentials.ActionErase:
		// What is kept for the registry cannot be found without the configuration.
		name, nerr := normalize(string(input))
		if nerr != nil || !broken.Concerns(name) {
			return nil, nil
		}
	case action == actionKubelet:
		image, nerr := kubeletImage(input)
		if nerr != nil {
			return nil, nerr
		}
		name, nerr := normalize(image)
		switch {
		case credentials.IsErrCredentialsNotFound(nerr), nerr == nil && !broken.Concerns(name):
			return kubeletAnswer(nil)
		case nerr != nil:
			return nil, nerr
		}
	case action == credentials.ActionGet:
		name, nerr := normalize(string(input))
		switch {
		case credentials.IsErrCredentialsNotFound(nerr), nerr == nil && !broken.Concerns(name):
			return notFound(broken.NotFound(), input)
		case nerr != nil:
			return nil, nerr
		}
	}
	return nil, err
}

// notFound is the answer for a registry without a rule. The anonymous one is an empty user name: Nomad knows no other
// way of saying it.
func notFound(how config.NotFound, serverURL []byte) ([]byte, error) {
	if how != config.NotFoundAnonymous {
		return nil, credentials.NewErrCredentialsNotFound()
	}
	var out bytes.Buffer
	err := json.NewEncoder(&out).Encode(credentials.Credentials{ServerURL: string(serverURL)})
	return out.Bytes(), err
}

// euid is who runs this.
func (Program) euid() int { return os.Geteuid() }

// helper returns what answers an action, or hands it over with its input.
func (p Program) helper(ctx context.Context, end time.Time, cfg *config.Config, action string, input []byte) *Helper {
	h := &Helper{
		ctx: ctx, cfg: cfg, getenv: p.Getenv, cache: hostcache.Open(hostcache.Options{}),
		handOver: func() error {
			return p.HandOver([]string{action}, input, deadline+"="+strconv.FormatInt(end.UnixMilli(), 10))
		},
	}
	if p.debugs() {
		h.debug = p.debug
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
	switch action {
	case credentials.ActionStore:
		limit = maxStore
	case actionKubelet:
		limit = maxKubelet
	}
	in, err := io.ReadAll(io.LimitReader(p.Stdin, int64(limit)+1))
	in = bytes.TrimSpace(in)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read standard input: %w", err)
	case len(in) == 0 && action == actionKubelet:
		return nil, fmt.Errorf("standard input is empty; the client writes %s to it", wants(action))
	case len(in) == 0:
		return nil, credentials.NewErrCredentialsMissingServerURL()
	case len(in) > limit:
		return nil, fmt.Errorf("standard input is longer than %d bytes; the client writes %s to it", limit, wants(action))
	case action != credentials.ActionStore && action != actionKubelet && bytes.ContainsAny(in, "\r\n"):
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
	switch action {
	case credentials.ActionStore:
		return `{"ServerURL": "...", "Username": "...", "Secret": "..."}`
	case actionKubelet:
		return `{"apiVersion": "` + kubeletAPI + `", "kind": "CredentialProviderRequest", "image": "..."}`
	}
	return "one server URL"
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
