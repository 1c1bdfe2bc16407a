package resolve

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/ecs"
	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/secretref"
)

// The cases write placeholders where AWS has an account and a version id; this project refuses those.
var placeholders = strings.NewReplacer(":region:account-id:", ":us-west-2:123456789012:",
	":version-id", ":9d4cb84b-ad69-40c0-a0ab-cead3EXAMPLE")

// ecsCase is the union of the shapes of the cases about values.
type ecsCase struct {
	input struct {
		ValueFrom, Region, SecretID, VersionID, CredentialsParameter string
		Names                                                        []string
		Secrets                                                      []struct{ ValueFrom, Provider, Region string }
	}
	stored struct {
		SecretString, SecretBinary *string
		Parameters                 any
		Response                   any `json:"response"`
	}
	expect struct {
		OK     bool
		Value  string
		Values map[string]string
		Calls  []struct {
			API                               string
			SecretID, VersionStage, VersionID string
			Names                             []string
		}
	}
}

// TestECS runs every case about values that is ours: as ECS does, or, where the table of differences names the case, as
// the table says.
func TestECS(t *testing.T) {
	special := map[string]func(*testing.T){
		"sm-two-regions-same-arn-text":          ecsTwoRegions,
		"sm-dedupe-identical-refs":              ecsDedupe,
		"sm-version-id-input":                   ecsVersionID,
		"ssm-two-regions":                       ecsParameterTwoRegions,
		"ssm-partial-invalid-fails-whole-batch": ecsPartialInvalid,
		"ssm-nil-response":                      ecsNilResponse,
		"ssm-name-version-rejected":             ecsSelector,
		"ssm-name-label-rejected":               ecsSelector,
		"ssm-selector-agent-mismatch":           ecsSelector,
		"ssm-no-credentials":                    ecsNoCredentials,
	}
	ran := map[string]bool{}
	for _, prefix := range []string{"sm-", "ssm-"} {
		for _, c := range ecs.Cases(ecs.ValueFrom, prefix) {
			t.Run(c.ID, func(t *testing.T) {
				ran[c.ID] = true
				if f, ok := special[c.ID]; ok {
					f(t)
					return
				}
				runECS(t, c)
			})
		}
	}
	for id := range special {
		if !ran[id] {
			t.Errorf("%s has a test of its own, but is not a case", id)
		}
	}
	if len(ran) < 40 {
		t.Errorf("only %d cases ran", len(ran))
	}
}

func runECS(t *testing.T, c ecs.Case) {
	var e ecsCase
	if err := c.Read(&e.input, &e.stored, &e.expect); err != nil {
		t.Fatal(err)
	}
	s := newFake(t)
	if len(e.input.Names) > 0 {
		e.input.ValueFrom = e.input.Names[0]
		e.expect.Value = e.expect.Values[e.input.ValueFrom]
	}
	ref, err := secretref.Parse(placeholders.Replace(e.input.ValueFrom))
	if err == nil {
		store(t, s, ref, e)
		got := newResolver(t, Options{}).Resolve(t.Context(), Request{Ref: ref, Region: e.input.Region})[0]
		err = got.Err
		if ecs.Differs(c.ID) && c.ID != "sm-all-three-suffix" {
			if (err == nil) == e.expect.OK && got.Value.Reveal() == e.expect.Value {
				t.Errorf("the same as ECS (%q), but the table of differences names it", e.expect.Value)
			}
			return
		}
		if e.expect.OK && got.Value.Reveal() != e.expect.Value {
			t.Errorf("value %q, want %q", got.Value.Reveal(), e.expect.Value)
		}
	}
	if (err == nil) != e.expect.OK {
		t.Fatalf("error %v, want ok %v", err, e.expect.OK)
	}
	if e.expect.OK {
		checkCalls(t, s, e)
	}
}

// store puts what the case has stored under the name that the reference gives.
func store(t *testing.T, s *fakeaws.Server, ref secretref.Ref, e ecsCase) {
	t.Helper()
	if ref.Service == secretref.SSM {
		switch p := e.stored.Parameters.(type) {
		case map[string]any:
			for name, v := range p {
				s.PutParameter(fakeaws.Parameter{Name: name, Value: v.(string)})
			}
		case []any:
			m := p[0].(map[string]any)
			kind, _ := m["Type"].(string)
			s.PutParameter(fakeaws.Parameter{Name: m["Name"].(string), Value: m["Value"].(string), Type: kind})
		case nil: // the case is about a parameter that is not there, or whose value does not matter
			if e.expect.OK {
				t.Fatal("the case stores nothing")
			}
		}
		return
	}
	if e.stored.SecretString == nil && e.stored.SecretBinary == nil {
		return
	}
	secret := fakeaws.Secret{Name: ref.Name, Region: ref.Region, VersionID: ref.VersionID}
	if i := len(ref.Name) - 7; ref.EndsLikeSuffix() {
		secret.Name, secret.Suffix = ref.Name[:i], ref.Name[i+1:]
	}
	if e.stored.SecretBinary != nil {
		secret.Binary = []byte{0, 1, 2}
		s.PutSecret(secret)
		return
	}
	secret.String = *e.stored.SecretString
	s.PutSecret(secret)
	switch ref.VersionStage {
	case "", secretref.Current:
	case "AWSPREVIOUS":
		s.RotateSecret(secret.Name, "newer")
	default:
		s.SetStage(secret.Name, ref.VersionStage, ref.VersionID)
	}
}

func checkCalls(t *testing.T, s *fakeaws.Server, e ecsCase) {
	t.Helper()
	if len(e.expect.Calls) == 0 {
		return
	}
	calls := s.Calls()
	if len(calls) != len(e.expect.Calls) {
		t.Fatalf("%d calls, want %d: %+v", len(calls), len(e.expect.Calls), calls)
	}
	for i, want := range e.expect.Calls {
		got := calls[i]
		if api := got.Service + ":" + got.Op; api != want.API {
			t.Errorf("call %s, want %s", api, want.API)
		}
		names := want.Names
		if want.SecretID != "" {
			names = []string{placeholders.Replace(want.SecretID)}
		}
		if !slices.Equal(got.Resources, names) {
			t.Errorf("asked for %v, want %v", got.Resources, names)
		}
		stage := want.VersionStage
		if stage == "" && want.VersionID == "" && want.SecretID != "" {
			stage = secretref.Current // a declared difference: it is always sent
		}
		version := strings.TrimPrefix(placeholders.Replace(":"+want.VersionID), ":")
		if got.Stage != stage || got.VersionID != version {
			t.Errorf("stage %q and version id %q, want %q and %q", got.Stage, got.VersionID, stage, version)
		}
	}
}

// ECS takes the region from a field of its own and so asks two regions for one ARN.
func ecsTwoRegions(t *testing.T) {
	s := newFake(t)
	ref := parse(t, s.PutSecret(fakeaws.Secret{Name: "appauthexample", String: "secret-value"}))
	got := newResolver(t, Options{}).Resolve(t.Context(), Request{Ref: ref, Region: "us-west-2"}, Request{Ref: ref, Region: "us-east-1"})
	for i, r := range got {
		if r.Err != nil || r.Value.Reveal() != "secret-value" {
			t.Errorf("answer %d: %q, %v", i, r.Value.Reveal(), r.Err)
		}
	}
	if calls := s.Calls(); len(calls) != 1 || calls[0].Region != "us-west-2" {
		t.Errorf("calls %+v, want one in the ARN's region", calls)
	}
}

func ecsDedupe(t *testing.T) {
	s := newFake(t)
	s.PutSecret(fakeaws.Secret{Name: "/test/secretName1", String: "1"})
	s.PutSecret(fakeaws.Secret{Name: "/test/secretName2", String: "2"})
	var q []Request
	for _, name := range []string{"/test/secretName1", "/test/secretName2", "/test/secretName1"} {
		ref, err := secretref.ParseCredentialsParameter(name)
		if err != nil {
			t.Fatal(err)
		}
		q = append(q, Request{Ref: ref})
	}
	for i, want := range []string{"1", "2", "1"} {
		if got := newResolver(t, Options{}).Resolve(t.Context(), q...)[i]; got.Value.Reveal() != want {
			t.Errorf("answer %d = %q, %v", i, got.Value.Reveal(), got.Err)
		}
		if n := s.CountCalls("GetSecretValue"); n != 2 {
			t.Errorf("%d calls, want 2", n)
		}
		s.ResetCalls()
	}
}

// The case's version id "versionId" is one that AWS never gives; a well-formed one is passed on.
func ecsVersionID(t *testing.T) {
	s := newFake(t)
	const id = "9d4cb84b-ad69-40c0-a0ab-cead3EXAMPLE"
	arn := s.PutSecret(fakeaws.Secret{Name: "secretId", String: "secretValue", VersionID: id})
	s.RotateSecret("secretId", "newer")
	if got := newResolver(t, Options{}).Resolve(t.Context(), requests(t, arn+":::"+id)...)[0]; got.Err != nil || got.Value.Reveal() != "secretValue" {
		t.Errorf("by version id: %q, %v", got.Value.Reveal(), got.Err)
	}
	if _, err := secretref.Parse(arn + ":::versionId"); !errors.Is(err, fault.BadReference) {
		t.Errorf("an impossible version id: %v", err)
	}
}

func ecsParameterTwoRegions(t *testing.T) {
	s := newFake(t)
	s.PutParameter(fakeaws.Parameter{Name: "secret-name", Region: "us-west-2", Value: "west"})
	s.PutParameter(fakeaws.Parameter{Name: "secret-name", Region: "us-east-1", Value: "east"})
	ref := parse(t, "secret-name")
	got := newResolver(t, Options{}).Resolve(t.Context(), Request{Ref: ref, Region: "us-west-2"}, Request{Ref: ref, Region: "us-east-1"})
	if got[0].Value.Reveal() != "west" || got[1].Value.Reveal() != "east" {
		t.Errorf("got %q (%v) and %q (%v)", got[0].Value.Reveal(), got[0].Err, got[1].Value.Reveal(), got[1].Err)
	}
	if n := s.CountCalls("GetParameters"); n != 2 {
		t.Errorf("%d calls, want 2", n)
	}
}

func ecsPartialInvalid(t *testing.T) {
	s := newFake(t)
	s.PutParameter(fakeaws.Parameter{Name: "/test/param1", Value: "secret1"})
	got := newResolver(t, Options{}).Resolve(t.Context(), requests(t, "/test/param1", "/test/invalidParams")...)
	if got[0].Err != nil || got[0].Value.Reveal() != "secret1" {
		t.Errorf("the good one: %q, %v", got[0].Value.Reveal(), got[0].Err)
	}
	checkError(t, got[1].Err, fault.NotFound, "/test/invalidParams")
	if n := s.CountCalls("GetParameters"); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
}

func ecsNilResponse(t *testing.T) {
	s := newFake(t)
	s.SetFault(fakeaws.Fault{Kind: fakeaws.Empty})
	if got := newResolver(t, Options{Timeout: 2 * time.Second}).Resolve(t.Context(), requests(t, "p")...)[0]; got.Err == nil || !got.Value.IsEmpty() {
		t.Errorf("an empty response gives %q, %v", got.Value.Reveal(), got.Err)
	}
}

func ecsSelector(t *testing.T) {
	s := newFake(t)
	for _, v := range []string{"one", "two", "three"} {
		s.PutParameter(fakeaws.Parameter{Name: "p", Value: v})
	}
	s.PutParameter(fakeaws.Parameter{Name: "/hello-world/config.json", Value: "old"})
	s.PutParameter(fakeaws.Parameter{Name: "/hello-world/config.json", Value: "new", Labels: []string{"testlabel"}})
	s.PutParameter(fakeaws.Parameter{Name: "/hello-world/config.json", Value: "newest"})
	arn := "arn:aws:ssm:us-west-2:123456789012:parameter/hello-world/config.json"
	refs := []string{"p:3", "p:1", "/hello-world/config.json:2", "/hello-world/config.json:testlabel", "/hello-world/config.json", arn + ":1", arn + ":testlabel"}
	got := newResolver(t, Options{}).Resolve(t.Context(), requests(t, refs...)...)
	for i, want := range []string{"three", "one", "new", "new", "newest", "old", "new"} {
		if got[i].Err != nil || got[i].Value.Reveal() != want {
			t.Errorf("%s = %q, %v, want %q", refs[i], got[i].Value.Reveal(), got[i].Err, want)
		}
	}
}

func ecsNoCredentials(t *testing.T) {
	newFake(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	checkError(t, newResolver(t, Options{}).Resolve(t.Context(), requests(t, "p")...)[0].Err, fault.NoCredentials, "get parameter p")
}

// The registry cases that are about reading, not about the shape of what is read.
func TestECSRepositoryCredentials(t *testing.T) {
	s := newFake(t)
	arn := s.PutSecret(fakeaws.Secret{Name: "appauthexample", String: `{"k":"v","username":"u","password":"p"}`})
	ref := func(text string) Request {
		r, err := secretref.ParseCredentialsParameter(text)
		if err != nil {
			t.Fatal(err)
		}
		return Request{Ref: r}
	}
	t.Run("rc-dedupe-per-task", func(t *testing.T) {
		newResolver(t, Options{}).Resolve(t.Context(), ref("appauthexample"), ref("appauthexample"))
		if n := s.CountCalls("GetSecretValue"); n != 1 {
			t.Errorf("%d calls, want 1", n)
		}
	})
	t.Run("rc-suffix-not-parsed", func(t *testing.T) { // here it is
		got := newResolver(t, Options{}).Resolve(t.Context(), ref(arn+":k::"))[0]
		if got.Err != nil || got.Value.Reveal() != "v" {
			t.Errorf("got %q, %v", got.Value.Reveal(), got.Err)
		}
	})
}

// TestECSToken runs the cases about ECR tokens; those about their age are in shared/ttl.
func TestECSToken(t *testing.T) {
	ran := 0
	for _, c := range ecs.Cases(ecs.RepositoryCredentials, "ecr-") {
		var input struct{ Region string }
		var stored struct {
			AuthorizationToken, ProxyEndpoint *string
			AuthorizationData                 any
			Error                             string
		}
		var expect struct {
			OK                 *bool
			Username, Password string
		}
		if err := c.Read(&input, &stored, &expect); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(c.ID, "ecr-token-valid") {
			continue
		}
		ran++
		t.Run(c.ID, func(t *testing.T) {
			s := newFake(t)
			s.SetECRToken(fakeaws.RegistryToken{Username: "test_user", Password: "test_passwd"})
			switch c.ID {
			case "ecr-api-error":
				s.SetFault(fakeaws.Fault{Kind: fakeaws.Custom, Code: "ServerException", Message: stored.Error, Status: 500})
			case "ecr-nil-response":
				s.SetFault(fakeaws.Fault{Kind: fakeaws.Empty})
			}
			var got ECRToken
			var err error
			switch c.ID {
			case "ecr-nil-token":
				got, err = decodeToken(nil, nil)
			case "ecr-bad-base64":
				got, err = decodeToken(stored.AuthorizationToken, nil)
			default:
				got, err = newResolver(t, Options{}).ECRToken(t.Context(), ECRRequest{Host: "h", Region: "us-west-2"})
			}
			if (err == nil) != *expect.OK || got.Username != expect.Username || got.Password.Reveal() != expect.Password {
				t.Errorf("%q, %q, %v, want ok %v, %q, %q", got.Username, got.Password.Reveal(), err, *expect.OK, expect.Username, expect.Password)
			}
		})
	}
	if ran != 5 {
		t.Errorf("%d cases, want 5", ran)
	}
}
