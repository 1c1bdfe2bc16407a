package awsconf

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/fault"
)

// STS is asked once for the account of the host, however many want to know, and never for that of a role.
func TestAccount(t *testing.T) {
	s := fakeaws.New(t, fakeaws.Options{Account: "444455556666"})
	setenv(t, s.Environ())
	session := New(config.AWS{Region: "eu-west-1"}, "test", "1")
	if got := session.KnownAccount(Identity{}); got != "" {
		t.Errorf("before it was asked for, the account is %q, want none", got)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got, err := session.Account(context.Background(), Identity{}); got != "444455556666" || err != nil {
				t.Errorf("the account is %q, %v, want 444455556666", got, err)
			}
		})
	}
	wg.Wait()
	role := Identity{Role: config.Role{RoleARN: "arn:aws:iam::777788889999:role/logs"}}
	if got, err := session.Account(t.Context(), role); got != "777788889999" || err != nil {
		t.Errorf("the account of the role is %q, %v, want 777788889999", got, err)
	}
	if n := len(s.Calls()); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
}

// What AWS has refused is not used again: a file of credentials that was written anew is read.
func TestRefusedReadsFilesAgain(t *testing.T) {
	setenv(t, nil)
	file := filepath.Join(t.TempDir(), "credentials")
	write := func(id string) {
		t.Helper()
		if err := os.WriteFile(file, []byte("[default]\naws_access_key_id = "+id+"\naws_secret_access_key = x\naws_session_token = y\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	session := New(config.AWS{Region: "eu-west-1"}, "test", "1")
	given := func() Service {
		t.Helper()
		got, err := session.Service(t.Context(), "CloudWatch Logs", "eu-west-1", Identity{})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	write("AKIAFIRST")
	first := given()
	write("AKIASECOND")
	if got := given().Credentials.AccessKeyID; got != "AKIAFIRST" {
		t.Errorf("the session gives %s before anything was refused, want AKIAFIRST", got)
	}
	session.Refused(Identity{}, first.Credentials)
	if got := given().Credentials.AccessKeyID; got != "AKIASECOND" {
		t.Errorf("after a refusal the session gives %s, want AKIASECOND", got)
	}
	write("AKIATHIRD")
	session.Refused(Identity{}, first.Credentials) // of somebody who comes late
	if got := given().Credentials.AccessKeyID; got != "AKIASECOND" {
		t.Errorf("after a late refusal the session gives %s, want AKIASECOND", got)
	}
}

// Credentials of the ECS agent come from the path that was named, are kept, and are fetched again when they were refused.
func TestAgentCredentials(t *testing.T) {
	var asked []string
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		if r.URL.Path != "/v2/credentials/task" {
			http.Error(w, "not there", http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte(`{"AccessKeyId":"ASIATASK","SecretAccessKey":"s","Token":"t","Expiration":"2099-01-01T00:00:00Z"}`))
	}))
	defer agent.Close()
	setenv(t, []string{"HTTP_PROXY=http://127.0.0.1:1"})
	session := New(config.AWS{Region: "eu-west-1"}, "test", "1")
	session.agentURL = agent.URL
	as := Identity{Path: "/v2/credentials/task"}
	for range 2 {
		got, err := session.Service(t.Context(), "Firehose", "eu-west-1", as)
		if err != nil || got.Credentials.AccessKeyID != "ASIATASK" || got.Credentials.SessionToken != "t" {
			t.Fatalf("%v, %v", got.Credentials.AccessKeyID, err)
		}
		if len(asked) != 1 {
			t.Fatalf("the agent was asked %q, want once", asked)
		}
	}
	got, err := session.Service(t.Context(), "Firehose", "eu-west-1", as)
	if err != nil {
		t.Fatal(err)
	}
	session.Refused(as, got.Credentials)
	if _, err := session.Service(t.Context(), "Firehose", "eu-west-1", as); err != nil || len(asked) != 2 {
		t.Errorf("after a refusal: %v, the agent was asked %q, want twice", err, asked)
	}
	_, err = session.Service(t.Context(), "Firehose", "eu-west-1", Identity{Path: "/none"})
	if fault.KindOf(err) != fault.NoCredentials || !strings.Contains(err.Error(), "ECS agent") {
		t.Errorf("a path that is not there: %v, want NoCredentials of the ECS agent", err)
	}
}

func TestKnownRegion(t *testing.T) {
	s := fakeaws.New(t, fakeaws.Options{Region: "ap-south-1"})
	s.SetIMDS(fakeaws.IMDS{})
	setenv(t, s.EnvironIMDS())
	t.Setenv("AWS_REGION", "")
	session := New(config.AWS{}, "test", "1")
	if got, err := session.KnownRegion(t.Context()); got != "" || err != nil {
		t.Errorf("before IMDS was asked: %q, %v, want nothing", got, err)
	}
	if got, err := session.Region(t.Context()); got != "ap-south-1" || err != nil {
		t.Errorf("the region is %q, %v, want ap-south-1", got, err)
	}
	if got, err := session.KnownRegion(t.Context()); got != "ap-south-1" || err != nil {
		t.Errorf("after IMDS was asked: %q, %v, want ap-south-1", got, err)
	}
}
