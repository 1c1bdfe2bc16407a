package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/shared/secret"
)

// wait is for one request, with the connection before it.
const wait = 2 * time.Minute

// program is one run.
type program struct {
	kinds  []router.Kind
	getenv func(string) string
	out    io.Writer
}

// variables are the names of a router's two variables: its options, and one option with the credential.
func variables(name string) (options, credential string) {
	options = "SECRETREF_LIVE_" + strings.ToUpper(name)
	return options, options + "_SECRET"
}

// run tries each router that has variables, and returns the exit status: 0 when all of them did what they should.
func run(p program) int {
	tried, failed := 0, 0
	for _, k := range p.kinds {
		if k.Name == "null" || k.Name == "awsfirelens" {
			continue // they have no receiver of their own
		}
		optionsName, credentialName := variables(k.Name)
		options, credential := p.getenv(optionsName), p.getenv(credentialName)
		if options == "" && credential == "" {
			p.say(k.Name, "unset", "set "+optionsName+" to NAME=VALUE,NAME=VALUE and "+credentialName+" to NAME=VALUE, log options of an account; a router without a credential needs the first alone")
			continue
		}
		tried++
		if err := p.try(k, options, credential); err != nil {
			failed++
			p.say(k.Name, "failed", err.Error())
		}
	}
	switch {
	case tried == 0:
		fmt.Fprintln(p.out, "live: no account is named, so nothing was tried")
		return 1
	case failed > 0:
		return 1
	}
	fmt.Fprintln(p.out, "live: write what was tried, and when, into packaging/docs/tried.md")
	return 0
}

func (p program) say(router, result, text string) {
	fmt.Fprintf(p.out, "%-14s %-7s %s\n", router, result, text)
}

// account is what a router is tried with.
type account struct {
	config  router.Config
	router  router.Router
	encoder router.Encoder
	source  *source
	line    string
	sent    int
}

// try sends one line with a credential, one with a wrong credential, which must be refused, and one after the rotation to the
// good one. Without a credential it sends one line: the credentials of a service of AWS are those of the environment, and a
// receiver may need none.
func (p program) try(k router.Kind, options, credential string) error {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	name, value, ok := strings.Cut(credential, "=")
	if credential != "" && (!ok || value == "") {
		return errors.New("the credential is not NAME=VALUE")
	}
	a := account{source: &source{value: value}, line: "secretref live test " + rand.Text()}
	secrets := map[string]secret.Source{}
	if credential != "" {
		secrets[name] = a.source
	}
	if err := a.open(ctx, k, options, secrets); err != nil {
		return err
	}
	defer a.router.Close() //nolint:errcheck // what was sent has been answered
	if err := a.send(ctx); err != nil {
		return err
	}
	p.say(k.Name, "ok", "a line: "+a.line)
	if credential == "" {
		p.say(k.Name, "ok", "no credential is given, so no refusal and no rotation was tried")
		return nil
	}
	return p.rotate(ctx, k, &a, value)
}

// open makes the router and the encoder of an account.
func (a *account) open(ctx context.Context, k router.Kind, options string, secrets map[string]secret.Source) error {
	pairs, err := router.Pairs(options)
	if err != nil {
		return fmt.Errorf("the options: %w", err)
	}
	plain := map[string]string{}
	for _, pair := range pairs {
		plain[pair.Name] = pair.Value
	}
	for _, o := range k.Options {
		if o.Required && plain[o.Name] == "" && secrets[o.Name] == nil {
			return fmt.Errorf("the log option %s is required", o.Name)
		}
	}
	if a.config, err = k.New(router.Options{Plain: plain, Secrets: secrets}); err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	a.encoder, err = a.config.Encoder(ctx, router.Session{ID: rand.Text(), ContainerID: strings.Repeat("0", 64), ContainerName: "/live", Tag: "live", Host: host})
	a.router = a.config.Router()
	return err
}

// rotate has the credential value of an account be wrong once.
func (p program) rotate(ctx context.Context, k router.Kind, a *account, value string) error {
	a.source.set(wrong(value), value)
	switch err := a.send(ctx); {
	case err == nil:
		return errors.New("a wrong credential was accepted")
	case router.ClassOf(err) != router.ClassCredentials:
		return fmt.Errorf("a wrong credential is told as %s: %w", router.ClassOf(err), err)
	case strings.Contains(err.Error(), value) || strings.Contains(err.Error(), wrong(value)):
		return errors.New("the error of a wrong credential shows it")
	default:
		p.say(k.Name, "ok", "a refusal: "+err.Error())
	}
	if err := a.send(ctx); err != nil {
		return fmt.Errorf("after the rotation: %w", err)
	}
	p.say(k.Name, "ok", "a rotation")
	return nil
}

// send sends the line and a number.
func (a *account) send(ctx context.Context) error {
	var b router.Batch
	line := fmt.Sprintf("%s %d", a.line, a.sent)
	b.Append(a.encoder, &router.Record{TimeNano: time.Now().UnixNano(), Position: int64(a.sent), Source: []byte("stdout"), Line: []byte(line)})
	a.sent++
	return a.router.Send(ctx, &b)
}

// wrong returns a credential of the same form as value: each letter and digit behind the last blank is the next one.
func wrong(value string) string {
	from := strings.LastIndexByte(value, ' ') + 1
	return value[:from] + strings.Map(func(r rune) rune {
		switch {
		case r == 'z', r == 'Z', r == 'f', r == 'F': // a number in hexadecimal digits stays one
			return r - 5
		case r == '9':
			return '0'
		case r >= '0' && r < '9', r >= 'a' && r < 'z', r >= 'A' && r < 'Z':
			return r + 1
		}
		return r
	}, value[from:])
}

// source is a credential that changes when it is said to be refused.
type source struct {
	mu    sync.Mutex
	value string
	next  string // "" = it does not change
}

// Get implements secret.Source.
func (s *source) Get(context.Context) (secret.Value, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return secret.New(s.value), nil
}

// Invalidate implements secret.Source.
func (s *source) Invalidate(secret.Value) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next != "" {
		s.value, s.next = s.next, ""
	}
}

// set makes it value, until that is refused.
func (s *source) set(value, next string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.value, s.next = value, next
}
