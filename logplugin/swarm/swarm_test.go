package swarm

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/resolve"
	"github.com/secretref/secretref/shared/ttl"
)

const canary = "c4n4ry-of-the-swarm"

// manager asks Secrets for what is in aws. Its logs go to log.
type manager struct {
	aws *fakeaws.Server
	log bytes.Buffer
	*Secrets
}

func newManager(t *testing.T, broken error) *manager {
	t.Helper()
	m := &manager{aws: fakeaws.New(t, fakeaws.Options{})}
	for _, pair := range append(m.aws.Environ(), "AWS_CA_BUNDLE=") {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
	cfg := config.Config{
		AWS:     config.AWS{Region: "eu-west-1", Timeout: 2 * time.Second},
		Secrets: config.Secrets{AllowReferences: []string{"arn:aws:secretsmanager:*:*:secret:prod/*"}},
	}
	r := resolve.New(awsconf.New(cfg.AWS, "test", "1"), resolve.Options{Timeout: cfg.AWS.Timeout, Policy: ttl.Policy{TTL: time.Hour}})
	t.Cleanup(r.Close)
	m.Secrets = New(Config{Config: &cfg, Resolver: r, Broken: broken, Log: slog.New(slog.NewTextHandler(&m.log, nil))})
	return m
}

// A secret has the value of the moment, and status has its reference and version.
func TestSecret(t *testing.T) {
	m := newManager(t, nil)
	for _, want := range []string{"first", "second"} {
		arn := m.aws.PutSecret(fakeaws.Secret{Name: "prod/db", String: `{"password":"` + want + `"}`})
		reference := arn + ":password::"
		v, err := m.Secret(t.Context(), "dbpw", map[string]string{Label: reference, "com.docker.stack.namespace": "app"})
		if err != nil || v.Reveal() != want {
			t.Fatalf("value %q, %v, want %q", v.Reveal(), err, want)
		}
		if got := m.Status(); len(got) != 1 || got[0].Name != "dbpw" || !slices.Equal(got[0].References, []string{reference}) || got[0].LastError != "" || got[0].Asked.IsZero() {
			t.Errorf("status %+v", got)
		}
	}
	if given, refused := m.Requests(); given != 2 || refused != 0 {
		t.Errorf("%d given, %d refused", given, refused)
	}
	if m.log.Len() > 0 || len(m.Attention()) > 0 {
		t.Errorf("log %s, attention %q", &m.log, m.Attention())
	}
}

// What is refused says why and what to do, in the answer, the log and status, and never shows what may be a secret.
func TestRefused(t *testing.T) {
	m := newManager(t, nil)
	empty := m.aws.PutSecret(fakeaws.Secret{Name: "prod/empty", String: `{"password":""}`}) + ":password::"
	outside := m.aws.PutSecret(fakeaws.Secret{Name: "other/db", String: canary})
	for _, c := range []struct {
		name   string
		labels map[string]string
		want   []string
	}{
		{"no label", nil, []string{"has no label valueFrom", "docker secret create --driver"}},
		{"another case", map[string]string{"valuefrom": empty}, []string{`"valuefrom"; did you mean valueFrom?`}},
		{"no reference", map[string]string{Label: canary + "!"}, []string{"label valueFrom: "}},
		{"too long", map[string]string{Label: strings.Repeat("a", 5000)}, []string{"longer than 4096 bytes"}},
		{"not allowed", map[string]string{Label: outside}, []string{"may not name", "allow_references", "under [secrets]"}},
		{"empty", map[string]string{Label: empty}, []string{"is empty"}},
		{"missing", map[string]string{Label: "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/none-AbCdEf"}, []string{"label valueFrom: ", "prod/none"}},
	} {
		m.log.Reset()
		v, err := m.Secret(t.Context(), c.name, c.labels)
		if err == nil || !v.IsEmpty() {
			t.Errorf("%s is given", c.name)
			continue
		}
		shown := fmt.Sprint(m.Attention(), m.Status())
		for _, want := range c.want {
			for where, text := range map[string]string{"error": err.Error(), "status": shown, "log": strings.ReplaceAll(m.log.String(), `\"`, `"`)} {
				if !strings.Contains(text, want) {
					t.Errorf("%s: the %s lacks %q: %s", c.name, where, want, text)
				}
			}
		}
		if all := err.Error() + shown + m.log.String(); strings.Contains(all, canary) {
			t.Errorf("%s: what may be a secret is shown: %s", c.name, all)
		}
	}
	if given, refused := m.Requests(); given != 0 || refused != 7 {
		t.Errorf("%d given, %d refused", given, refused)
	}
	broken := newManager(t, errors.New("config.toml: line 3"))
	if _, err := broken.Secret(t.Context(), "db", map[string]string{Label: empty}); err == nil || !strings.Contains(err.Error(), "config.toml: line 3") {
		t.Errorf("with a broken configuration: %v", err)
	}
}
