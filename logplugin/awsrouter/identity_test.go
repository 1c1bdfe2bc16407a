package awsrouter_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/awsrouter"
	"github.com/secretref/secretref/logplugin/awsrouter/awstest"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/config"
)

// giver gives credentials to who asks, as STS does and the ECS agent.
type giver struct {
	*httptest.Server
	mu    sync.Mutex
	key   awstest.Key
	lives time.Duration
	asked []string // the forms of the questions
}

const sessionToken = "FwoGZXIvYXdzEXAMPLETOKEN"

func startGiver(t *testing.T, answer string) *giver {
	g := &giver{key: awstest.Old, lives: time.Hour}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.asked = append(g.asked, string(body))
		_, _ = fmt.Fprintf(w, answer, g.key.ID, g.key.Secret, sessionToken, time.Now().Add(g.lives).UTC().Format(time.RFC3339))
	}))
	t.Cleanup(g.Close)
	return g
}

// questions returns what was asked.
func (g *giver) questions() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.asked)
}

// give makes it give another key, for so long.
func (g *giver) give(k awstest.Key, lives time.Duration) {
	g.mu.Lock()
	g.key, g.lives = k, lives
	g.mu.Unlock()
}

// with makes a router to a receiver through a session with these settings of [aws].
func (s service) with(t *testing.T, settings config.AWS, options map[string]string) *setup {
	t.Helper()
	u := &setup{service: s, receiver: s.start("place")}
	t.Cleanup(u.receiver.Close)
	settings.Region = awstest.Region
	if settings.EndpointURL == "" {
		settings.EndpointURL = u.receiver.URL()
	}
	if settings.HTTPSProxy != "" {
		settings.HTTPSProxy = u.receiver.URL()
	}
	all := s.options("place")
	for name, value := range options {
		all[s.name+"-"+name] = value
	}
	u.encoders, u.router = routerOf(t, s.kind(awsrouter.NewHost(awsconf.New(settings, "test", "1"))), all)
	return u
}

// Lines are sent as a role, whose account is that of the destination. When its credentials are refused it is assumed again.
func TestRole(t *testing.T) {
	const role = "arn:aws:iam::444455556666:role/logs"
	each(t, func(t *testing.T, s service) {
		awstest.NewHome(t)
		sts := startGiver(t, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials><AccessKeyId>%s</AccessKeyId>`+
			`<SecretAccessKey>%s</SecretAccessKey><SessionToken>%s</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`)
		sts.give(awstest.New, time.Hour)
		u := s.with(t, config.AWS{STSEndpointURL: sts.URL}, map[string]string{"role-arn": role, "external-id": "fleet-7"})
		u.receiver.SetKey(awstest.New)
		if got := u.deliver(t, 3); len(got) > 0 {
			t.Errorf("failures %q", got)
		}
		sts.give(awstest.Old, time.Hour)
		u.receiver.SetKey(awstest.Old)
		if got := u.deliver(t, 3); !slices.Equal(got, []router.Class{router.ClassCredentials}) {
			t.Errorf("failures %q after another key, want one", got)
		}
		u.stored(t, 1, false)
		asked := sts.questions()
		if len(asked) != 2 || !strings.Contains(asked[0], "RoleArn=arn%3Aaws%3Aiam%3A%3A444455556666%3Arole%2Flogs") || !strings.Contains(asked[0], "ExternalId=fleet-7") {
			t.Errorf("STS was asked %q, want twice for the role", asked)
		}
		if got := u.receiver.Exchanges()[0].Header.Get("X-Amz-Security-Token"); got != sessionToken {
			t.Errorf("the token of the session is %q", got)
		}
		options := s.options("place")
		options[s.name+"-role-arn"], options[s.name+"-region"] = role, awstest.Region
		kind := s.kind(awsrouter.NewHost(nil))
		if got, want := kind.Addresses(router.Options{Plain: options}.Unresolved())[0].String(), strings.Replace(s.arn, "::", ":444455556666:", 1)+"place"; got != want {
			t.Errorf("the address is %s, want %s", got, want)
		}
	})
}

// Credentials of an endpoint that end, or that are replaced before, cost no line.
func TestCredentialsEndpoint(t *testing.T) {
	each(t, func(t *testing.T, s service) {
		awstest.NewHome(t)
		agent := startGiver(t, `{"AccessKeyId":"%s","SecretAccessKey":"%s","Token":"%s","Expiration":"%s"}`)
		t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
		t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.URL+"/v2/credentials")
		agent.give(awstest.Old, time.Minute) // which the SDK takes for too short to be kept
		u := s.with(t, config.AWS{}, nil)
		if got := u.deliver(t, 3); len(got) > 0 {
			t.Errorf("failures %q", got)
		}
		agent.give(awstest.New, time.Hour)
		u.receiver.SetKey(awstest.New)
		if got := u.deliver(t, 3); len(got) > 0 {
			t.Errorf("failures %q once the first key has ended, want none", got)
		}
		agent.give(awstest.Old, time.Hour)
		u.receiver.SetKey(awstest.Old)
		if got := u.deliver(t, 3); !slices.Equal(got, []router.Class{router.ClassCredentials}) {
			t.Errorf("failures %q once a good key was replaced, want one", got)
		}
		u.stored(t, 1, false)
	})
}

// An endpoint that has not answered in the short time of the caller is not blamed: it may have been about to.
func TestShortTimeForCredentials(t *testing.T) {
	each(t, func(t *testing.T, s service) {
		awstest.NewHome(t)
		over := make(chan struct{})
		agent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over }))
		t.Cleanup(agent.Close)
		t.Cleanup(func() { close(over) })
		t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
		t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.URL+"/v2/credentials")
		u := s.with(t, config.AWS{}, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		b, _ := routertest.Batch(u.encoders, 1)
		err := u.router.Send(ctx, b)
		if router.ClassOf(err) != router.ClassRetry || !strings.Contains(err.Error(), "get AWS credentials") {
			t.Errorf("%v of class %q, want credentials that could not be had, and class retry", err, router.ClassOf(err))
		}
	})
}

// Requests go through the proxy of the configuration: the name of the service leads nowhere. Hosts of no_proxy are asked themselves. A proxy
// that wants a password is named, because the configuration takes none.
func TestProxy(t *testing.T) {
	each(t, func(t *testing.T, s service) {
		awstest.NewHome(t)
		u := s.with(t, config.AWS{HTTPSProxy: "the receiver"}, map[string]string{"endpoint": "http://service.example.com"})
		if got := u.deliver(t, 3); len(got) > 0 {
			t.Errorf("failures %q", got)
		}
		u.stored(t, 1, false)
		u.receiver.Fail(routertest.Mishap{Status: http.StatusProxyAuthRequired})
		if err := u.router.Send(t.Context(), u.batch(1)); err == nil || !strings.Contains(err.Error(), "the proxy in https_proxy under [aws] wants a user and a password") {
			t.Errorf("a proxy that wants a password: %v", err)
		}
		direct := s.with(t, config.AWS{HTTPSProxy: "the receiver", NoProxy: ".example.com"}, map[string]string{"endpoint": "http://service.example.com"})
		if err := direct.router.Send(t.Context(), direct.batch(1)); err == nil || !strings.Contains(err.Error(), "service.example.com") {
			t.Errorf("a host of no_proxy: %v, want that its name cannot be resolved", err)
		}
		if n := len(direct.receiver.Exchanges()); n > 0 {
			t.Errorf("the proxy was asked %d times for a host of no_proxy", n)
		}
	})
}
