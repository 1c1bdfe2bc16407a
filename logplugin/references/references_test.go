package references

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/resolve"
	"github.com/secretref/secretref/shared/secret"
	"github.com/secretref/secretref/shared/ttl"
)

// asker asks the AWS of the environment, and sends each audited access to audit.
func asker(t *testing.T, audit func(resolve.Access)) *Asker {
	t.Helper()
	c := &config.Config{AWS: config.AWS{Region: "eu-west-1"}}
	r := resolve.New(awsconf.New(c.AWS, "test", "1"), resolve.Options{Timeout: time.Second, Policy: ttl.Policy{TTL: time.Minute}, Audit: audit})
	t.Cleanup(r.Close)
	a := NewAsker(c, r)
	a.Again = 10 * time.Millisecond
	return a
}

func TestAdmit(t *testing.T) {
	aws := fakeaws.New(t, fakeaws.Options{})
	for _, pair := range append(aws.Environ(), "AWS_CA_BUNDLE=") {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
	there := aws.PutSecret(fakeaws.Secret{Name: "there", String: "v"})
	missing := strings.Replace(there, ":there-", ":missing-", 1)
	denied := fakeaws.Fault{Kind: fakeaws.Custom, Code: "AccessDeniedException"}
	deniedOnce := denied
	deniedOnce.Times = 1
	for _, tt := range []struct {
		name       string
		fault      fakeaws.Fault
		references []string
		want       error // by errors.Is; nil = admitted
		text       string
		calls      int
	}{
		{"none", fakeaws.Fault{}, nil, nil, "", 0},
		{"there", fakeaws.Fault{}, []string{there}, nil, "", 1},
		{"missing", fakeaws.Fault{}, []string{there, missing}, fault.NotFound, "volume option 1: ", 2},
		{"denied a moment ago", deniedOnce, []string{there}, nil, "", 2},
		{"denied", denied, []string{there}, fault.Denied, "volume option 0: ", 2},
		{"no answer", fakeaws.Fault{Kind: fakeaws.Hang}, []string{there}, fault.Unreachable, "volume option 0: ", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := asker(t, nil)
			if tt.fault.Kind != "" {
				aws.SetFault(tt.fault)
			}
			t.Cleanup(func() { _ = aws.ClearFaults() })
			aws.ResetCalls()
			var needs []Need
			for i, text := range tt.references {
				ref, err := Parse(text)
				if err != nil {
					t.Fatal(err)
				}
				needs = append(needs, Need{Ref: ref, Where: "volume option " + string(rune('0'+i)), For: "volume"})
			}
			err := a.Admit(t.Context(), 200*time.Millisecond, needs)
			if !errors.Is(err, tt.want) || tt.want != nil && !strings.HasPrefix(err.Error(), tt.text) {
				t.Errorf("error %v, want %v that begins with %q", err, tt.want, tt.text)
			}
			if n := len(aws.Calls()); n != tt.calls {
				t.Errorf("%d calls, want %d", n, tt.calls)
			}
		})
	}
}

// An audit line says for whom a reference was resolved, and as whom.
func TestAudit(t *testing.T) {
	aws := fakeaws.New(t, fakeaws.Options{})
	for _, pair := range append(aws.Environ(), "AWS_CA_BUNDLE=") {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
	ref, err := Parse(aws.PutSecret(fakeaws.Secret{Name: "there", String: "v"}))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan resolve.Access, 2)
	a := asker(t, func(x resolve.Access) { seen <- x })
	if v, err := a.Source(Need{Ref: ref, For: "container 4f2d1c9e7a10 splunk-token"}).Get(t.Context()); err != nil || !v.Equal(secret.New("v")) {
		t.Fatal(err)
	}
	if x := <-seen; x.For != "container 4f2d1c9e7a10 splunk-token" || x.Reference != ref.String() {
		t.Errorf("audited: %+v", x)
	}
}

func TestParseList(t *testing.T) {
	for _, tt := range []struct {
		text string
		want []Entry
		err  string
	}{
		{`[{"name":"a","valueFrom":"/a"},{"valueFrom":"/b","name":"b"}]`, []Entry{{"a", "/a"}, {"b", "/b"}}, ""},
		{`{"name":"a","valueFrom":"/a"}`, []Entry{{"a", "/a"}}, ""},
		{`[]`, nil, ""},
		{`{"a":"canary"}`, nil, "is an object that is not one of a name and a valueFrom"},
		{`[{"name":"a","valueFrom":"/a"}`, nil, "is a JSON list without its end"},
		{`[{"name":"a","value_from":"canary"}]`, nil, "has entry 1, which has the key value_from; names of keys are name and valueFrom"},
		{`[{"name":"a","name":"canary","valueFrom":"/a"}]`, nil, "has entry 1, which has name twice"},
		{`canary`, nil, "is not a JSON list"},
	} {
		got, err := ParseList(tt.text)
		if (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err || !slices.Equal(got, tt.want) {
			t.Errorf("ParseList(%s) = %v, %v; want %v, %q", tt.text, got, err, tt.want, tt.err)
		}
	}
}

// A token in the place of its reference is not quoted, and would otherwise be sent to AWS as the name of a parameter.
func TestParseToken(t *testing.T) {
	const token = "0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
	_, err := Parse(token)
	if !errors.Is(err, fault.BadReference) || strings.Contains(err.Error(), token) {
		t.Errorf("error %v, want a BadReference that does not show the token", err)
	}
}
