package resolve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/secretref"
	"github.com/secretref/secretref/shared/ttl"
)

const canary = "s3cr3t-c4n4ry"

// newFake starts an AWS endpoint and points this process at it.
func newFake(t *testing.T) *fakeaws.Server {
	t.Helper()
	s := fakeaws.New(t, fakeaws.Options{Region: "us-west-2", Account: "123456789012"})
	for _, kv := range s.Environ() {
		k, v, _ := strings.Cut(kv, "=")
		t.Setenv(k, v)
	}
	t.Setenv("AWS_CA_BUNDLE", "")
	return s
}

func newResolver(t *testing.T, o Options) *Resolver {
	t.Helper()
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	r := New(awsconf.New(config.AWS{Region: "us-west-2"}, "test", "1"), o)
	t.Cleanup(r.Close)
	return r
}

func parse(t *testing.T, s string) secretref.Ref {
	t.Helper()
	ref, err := secretref.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func requests(t *testing.T, refs ...string) []Request {
	t.Helper()
	q := make([]Request, len(refs))
	for i, s := range refs {
		q[i].Ref = parse(t, s)
	}
	return q
}

func TestKeysOfOneSecretCostOneCall(t *testing.T) {
	s := newFake(t)
	arn := s.PutSecret(fakeaws.Secret{Name: "db", String: `{"user":"u","password":"p"}`})
	got := newResolver(t, Options{}).Resolve(t.Context(), requests(t, arn+":user::", arn+":password::", arn, arn+":password::")...)
	for i, want := range []string{"u", "p", `{"user":"u","password":"p"}`, "p"} {
		if got[i].Err != nil || got[i].Value.Reveal() != want {
			t.Errorf("answer %d = %q, %v, want %q", i, got[i].Value.Reveal(), got[i].Err, want)
		}
		if got[i].VersionID == "" || got[i].VersionID != got[0].VersionID {
			t.Errorf("answer %d comes from version %q, the first from %q", i, got[i].VersionID, got[0].VersionID)
		}
	}
	if n := s.CountCalls("GetSecretValue"); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
	if stage := s.Calls()[0].Stage; stage != "AWSCURRENT" {
		t.Errorf("the stage that was sent is %q, want AWSCURRENT", stage)
	}
}

func TestParametersGoInTens(t *testing.T) {
	s := newFake(t)
	var refs []string
	for i := range 23 {
		name := fmt.Sprintf("/app/p%d", i)
		s.PutParameter(fakeaws.Parameter{Name: name, Value: "v" + name})
		s.PutParameter(fakeaws.Parameter{Name: name, Region: "eu-west-1", Value: "eu"})
		refs = append(refs, name, name) // each twice: a repeated name is refused by the service
	}
	refs = append(refs, "arn:aws:ssm:eu-west-1:123456789012:parameter/app/p1")
	got := newResolver(t, Options{}).Resolve(t.Context(), requests(t, refs...)...)
	for i, ref := range refs[:46] {
		if got[i].Err != nil || got[i].Value.Reveal() != "v"+ref {
			t.Errorf("%s = %q, %v", ref, got[i].Value.Reveal(), got[i].Err)
		}
	}
	if got[46].Err != nil || got[46].Value.Reveal() != "eu" {
		t.Errorf("by ARN in another region = %q, %v", got[46].Value.Reveal(), got[46].Err)
	}
	calls := map[string]int{}
	for _, c := range s.Calls() {
		calls[c.Region]++
		if len(c.Resources) > 10 {
			t.Errorf("a call names %d parameters", len(c.Resources))
		}
	}
	if calls["us-west-2"] != 3 || calls["eu-west-1"] != 1 {
		t.Errorf("calls by region = %v, want 3 and 1", calls)
	}
}

// Regions are asked at the same time.
// Each region is asked before another has answered.
func TestRegionsInParallel(t *testing.T) {
	s := newFake(t)
	var refs []string
	for _, region := range []string{"us-west-2", "eu-west-1", "eu-central-1"} {
		refs = append(refs, s.PutSecret(fakeaws.Secret{Name: "a", Region: region, String: "v"}))
	}
	s.SetFault(fakeaws.Fault{Kind: fakeaws.Hang})
	r := newResolver(t, Options{Timeout: time.Minute})
	var answered sync.WaitGroup
	answered.Go(func() {
		for _, got := range r.Resolve(t.Context(), requests(t, refs...)...) {
			if got.Err != nil {
				t.Error(got.Err)
			}
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.WaitCalls(ctx, "GetSecretValue", len(refs)); err != nil { // none of which has been answered
		t.Error(err)
	}
	asked := map[string]bool{}
	for _, c := range s.Calls() {
		asked[c.Region] = true
	}
	if len(asked) != len(refs) {
		t.Errorf("asked %v at once, want %d regions", asked, len(refs))
	}
	if err := s.ClearFaults(); err != nil { // ends the calls that hang; they are made again
		t.Error(err)
	}
	answered.Wait()
}

func TestEveryFailureIsReported(t *testing.T) {
	s := newFake(t)
	good := s.PutSecret(fakeaws.Secret{Name: "good", String: "v"})
	denied := s.PutSecret(fakeaws.Secret{Name: "denied", String: "v"})
	s.Deny("*", "secretsmanager:GetSecretValue", denied)
	s.PutParameter(fakeaws.Parameter{Name: "/there", Value: "v"})
	s.PutParameter(fakeaws.Parameter{Name: "/locked", Value: "v", KMS: fakeaws.KMSBroken})
	s.PutParameter(fakeaws.Parameter{Name: "/refused", Value: "v"})
	s.Deny("*", "ssm:GetParameters", "*parameter/refused")
	s.Deny("*", "secretsmanager:GetSecretValue", "*kms-proxy*")
	base := "arn:aws:secretsmanager:us-west-2:123456789012:secret:"
	for _, c := range []struct {
		ref  string
		kind fault.Kind
		says []string
	}{
		{good, "", nil},
		{denied, fault.Denied, []string{"get secret " + denied, "AccessDeniedException", "no identity-based policy", "user/host", "allow secretsmanager:GetSecretValue"}},
		{base + "missing", fault.NotFound, []string{"ResourceNotFoundException", "compare the name and the region"}},
		{base + "test-secret", fault.NotFound, []string{"hyphen and six characters"}},
		{base + "good::AWSPREVIOUS:", fault.NotFound, []string{"list-secret-version-ids"}},
		{s.PutSecret(fakeaws.Secret{Name: "gone", String: "v", Deleted: true}), fault.NotFound, []string{"scheduled for deletion", "restore-secret"}},
		{s.PutSecret(fakeaws.Secret{Name: "kms", String: "v", KMS: fakeaws.KMSBroken}), fault.Decrypt, []string{"kms:Decrypt"}},
		{s.PutSecret(fakeaws.Secret{Name: "kmsdenied", String: "v", KMS: fakeaws.KMSDenied}), fault.Decrypt, []string{"kms:Decrypt"}},
		{s.PutSecret(fakeaws.Secret{Name: "bin", Binary: []byte{0, 1}}), fault.BadValue, []string{"binary"}},
		{s.PutSecret(fakeaws.Secret{Name: "empty"}), fault.BadValue, []string{"empty"}},
		{good + ":key::", fault.BadValue, []string{"not a JSON object", "no key key"}},
		{"/there", "", nil},
		{"/locked", fault.Decrypt, []string{"get parameter /locked", "kms:Decrypt"}},
		{"/refused", fault.Denied, []string{"get parameter /refused", "allow ssm:GetParameters"}},
		{s.PutSecret(fakeaws.Secret{Name: "prod/kms-proxy", String: "v"}), fault.Denied, []string{"allow secretsmanager:GetSecretValue"}},
		{"/nowhere", fault.NotFound, []string{"get parameter /nowhere", "us-west-2"}},
		{"/there:9", fault.NotFound, []string{"version or label"}},
	} {
		t.Run(c.ref, func(t *testing.T) {
			s.ResetCalls()
			// Together with a good one of each service: a failure must not spread.
			got := newResolver(t, Options{}).Resolve(t.Context(), requests(t, c.ref, good, "/there")...)
			if got[1].Err != nil || got[2].Err != nil {
				t.Errorf("the others: %v, %v", got[1].Err, got[2].Err)
			}
			checkError(t, got[0].Err, c.kind, c.says...)
		})
	}
}

func checkError(t *testing.T, err error, kind fault.Kind, says ...string) {
	t.Helper()
	if kind == "" {
		if err != nil {
			t.Error(err)
		}
		return
	}
	if !errors.Is(err, kind) {
		t.Fatalf("error of kind %q, want %s: %v", fault.KindOf(err), kind, err)
	}
	for _, w := range says {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error does not say %q: %v", w, err)
		}
	}
	if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), canary) {
		t.Errorf("the error has more than one line, or a value: %q", err)
	}
}

// Each fault of the endpoint has its kind, and no wait is longer than the deadline.
func TestFaults(t *testing.T) {
	s := newFake(t)
	arn := s.PutSecret(fakeaws.Secret{Name: "a", String: canary})
	for _, c := range []struct {
		fault fakeaws.Fault
		kind  fault.Kind
		says  string
	}{
		{fakeaws.Fault{Kind: fakeaws.Throttle}, fault.Throttled, "slow down (ThrottlingException); a longer ttl"},
		{fakeaws.Fault{Kind: fakeaws.Throttle, Times: 2}, "", ""},
		{fakeaws.Fault{Kind: fakeaws.Status500}, fault.Unreachable, "InternalServiceError"},
		{fakeaws.Fault{Kind: fakeaws.Status503}, fault.Unreachable, "ServiceUnavailable"},
		{fakeaws.Fault{Kind: fakeaws.Hang}, fault.Unreachable, "before the deadline"},
		{fakeaws.Fault{Kind: fakeaws.Refuse}, fault.Unreachable, "connection refused"},
		{fakeaws.Fault{Kind: fakeaws.ResetMidBody}, fault.Unreachable, ""},
		{fakeaws.Fault{Kind: fakeaws.GarbageBody}, fault.Unreachable, "did not answer as AWS does"},
		{fakeaws.Fault{Kind: fakeaws.Empty}, fault.Unreachable, "did not answer as AWS does"},
		{fakeaws.Fault{Kind: fakeaws.BadSignature}, fault.NoCredentials, "clock"},
		{fakeaws.Fault{Kind: fakeaws.ExpiredToken}, fault.NoCredentials, "expired"},
		{fakeaws.Fault{Kind: fakeaws.Custom, Code: "RequestTimeTooSkewed", Message: "skewed", Status: 403}, fault.NoCredentials, "chronyc tracking"},
		{fakeaws.Fault{Kind: fakeaws.Custom, Code: "UnrecognizedClientException", Message: "invalid", Status: 400}, fault.Denied, "another partition"},
		{fakeaws.Fault{Kind: fakeaws.Custom, Code: "UnknownError", Message: "Forbidden", Status: 403}, fault.Unreachable, "did not answer as AWS does"},
		{fakeaws.Fault{Kind: fakeaws.Custom, Code: "Busy", Message: "busy", Status: 429}, fault.Throttled, "(Busy)"},
		{fakeaws.Fault{Kind: fakeaws.Custom, Code: "SomethingNew", Message: "a new refusal", Status: 400}, fault.Denied, "a new refusal (SomethingNew)"},
	} {
		t.Run(fmt.Sprintf("%s %s %d", c.fault.Kind, c.fault.Code, c.fault.Times), func(t *testing.T) {
			s.SetFault(c.fault)
			defer func() {
				if err := s.ClearFaults(); err != nil {
					t.Fatal(err)
				}
			}()
			began := time.Now()
			r := newResolver(t, Options{Timeout: 2 * time.Second})
			checkError(t, r.Resolve(t.Context(), requests(t, arn)...)[0].Err, c.kind, c.says)
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("took %v, past the deadline of 2 s", took)
			}
		})
	}
}

func TestCallerGivesUpBeforeTheFlight(t *testing.T) {
	s := newFake(t)
	arn := s.PutSecret(fakeaws.Secret{Name: "a", String: "v"})
	s.SetFault(fakeaws.Fault{Kind: fakeaws.Hang})
	r := newResolver(t, Options{Timeout: 2 * time.Second})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	checkError(t, r.Resolve(ctx, requests(t, arn)...)[0].Err, fault.Unreachable, "before the deadline")
}

func TestOneFlight(t *testing.T) {
	s := newFake(t)
	arn := s.PutSecret(fakeaws.Secret{Name: "a", String: `{"k":"v"}`})
	s.SetFault(fakeaws.Fault{Kind: fakeaws.Delay, Delay: 300 * time.Millisecond})
	r := newResolver(t, Options{})
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if got := r.Resolve(t.Context(), requests(t, arn+":k::")...)[0]; got.Err != nil || got.Value.Reveal() != "v" {
				t.Errorf("got %q, %v", got.Value.Reveal(), got.Err)
			}
		})
	}
	all.Wait()
	if n := s.CountCalls("GetSecretValue"); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
	if n := len(r.units); n != 0 {
		t.Errorf("without a Policy %d values are kept", n)
	}
}

// clock is a clock that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func TestCacheAndStaleWindow(t *testing.T) {
	s := newFake(t)
	arn := s.PutSecret(fakeaws.Secret{Name: "a", String: "one"})
	c := &clock{t: time.Now()}
	r := newResolver(t, Options{Policy: ttl.Policy{TTL: 5 * time.Minute, Stale: time.Hour}, Now: c.now})
	expect := func(what, value string, kind fault.Kind, stale bool, calls int) {
		t.Helper()
		got := r.Resolve(t.Context(), requests(t, arn)...)[0]
		if got.Value.Reveal() != value || fault.KindOf(got.Err) != kind || (got.Stale != nil) != stale {
			t.Errorf("%s: %q, %v, stale %v, want %q, %s, %v", what, got.Value.Reveal(), got.Err, got.Stale, value, kind, stale)
		}
		if n := s.CountCalls("GetSecretValue"); n != calls {
			t.Errorf("%s: %d calls, want %d", what, n, calls)
		}
		s.ResetCalls()
	}
	expect("first", "one", "", false, 1)
	s.RotateSecret("a", "two")
	expect("inside the ttl", "one", "", false, 0)
	c.pass(5 * time.Minute)
	expect("past the ttl", "two", "", false, 1)
	c.pass(6 * time.Minute)
	s.SetFault(fakeaws.Fault{Kind: fakeaws.Custom, Code: "InternalServiceError", Status: 500, Times: 3})
	expect("AWS fails", "two", "", true, 3)
	expect("and is left alone for a while", "two", "", true, 0)
	c.pass(time.Minute)
	expect("AWS is back", "two", "", false, 1)
	s.Deny("*", "secretsmanager:GetSecretValue", "*")
	c.pass(6 * time.Minute)
	expect("denied", "", fault.Denied, false, 1)
	expect("denied again", "", fault.Denied, false, 0)
	s.Allow("*", "secretsmanager:GetSecretValue", "*")
	c.pass(11 * time.Second)
	expect("allowed", "two", "", false, 1)
	c.pass(2 * time.Hour)
	s.SetFault(fakeaws.Fault{Kind: fakeaws.Custom, Code: "InternalServiceError", Status: 500, Times: 3})
	expect("past the stale window", "", fault.Unreachable, false, 3)
}

func TestSource(t *testing.T) {
	s := newFake(t)
	arn := s.PutSecret(fakeaws.Secret{Name: "a", String: `{"token":"one"}`})
	src := newResolver(t, Options{Policy: ttl.Policy{TTL: time.Hour}}).Source(requests(t, arn+":token::")[0])
	get := func(want string, calls int) {
		t.Helper()
		v, err := src.Get(t.Context())
		if err != nil || v.Reveal() != want {
			t.Errorf("Get = %q, %v, want %q", v.Reveal(), err, want)
		}
		if n := s.CountCalls("GetSecretValue"); n != calls {
			t.Errorf("%d calls, want %d", n, calls)
		}
		s.ResetCalls()
	}
	get("one", 1)
	old, _ := src.Get(t.Context())
	s.RotateSecret("a", `{"token":"two"}`)
	get("one", 0)
	src.Invalidate(old)
	get("two", 1)
	src.Invalidate(old) // another container was refused with the old one too
	get("two", 0)
}

func TestRoles(t *testing.T) {
	s := newFake(t)
	arn := s.PutSecret(fakeaws.Secret{Name: "a", String: "v"})
	role := config.Role{RoleARN: "arn:aws:iam::123456789012:role/reader", ExternalID: "fleet-7"}
	s.PutRole(fakeaws.Role{ARN: role.RoleARN, ExternalID: role.ExternalID})
	r := newResolver(t, Options{})
	if got := r.Resolve(t.Context(), Request{Ref: parse(t, arn), Role: role})[0]; got.Err != nil {
		t.Fatal(got.Err)
	}
	got := r.Resolve(t.Context(), Request{Ref: parse(t, arn), Role: role})[0]
	if got.Err != nil {
		t.Fatal(got.Err)
	}
	if n := s.CountCalls("AssumeRole"); n != 1 {
		t.Errorf("the role was assumed %d times for two calls", n)
	}
	for _, c := range s.Calls() {
		switch c.Op {
		case "AssumeRole":
			if !strings.HasPrefix(c.Session, "test@") {
				t.Errorf("the session is called %q: it must name program and host", c.Session)
			}
		case "GetSecretValue":
			if !strings.Contains(c.Identity, "assumed-role/reader/") {
				t.Errorf("the secret was read as %s", c.Identity)
			}
		}
	}
	wrong := config.Role{RoleARN: role.RoleARN, ExternalID: "other"}
	checkError(t, r.Resolve(t.Context(), Request{Ref: parse(t, arn), Role: wrong})[0].Err, fault.Denied,
		"assume role "+role.RoleARN, "get secret "+arn, "trust policy", "external_id")
}

func TestECRToken(t *testing.T) {
	s := newFake(t)
	s.SetECRToken(fakeaws.RegistryToken{Username: "AWS", Password: "token-1"})
	s.SetECRPublicToken(fakeaws.RegistryToken{Username: "AWS", Password: "token-2"})
	var audited []string
	r := newResolver(t, Options{Audit: func(a Access) { audited = append(audited, a.String()) }})
	for _, c := range []struct {
		q        ECRRequest
		password string
		region   string
	}{
		{ECRRequest{Host: "123456789012.dkr.ecr.eu-west-1.amazonaws.com", Region: "eu-west-1"}, "token-1", "eu-west-1"},
		{ECRRequest{Host: "public.ecr.aws", Region: "us-east-1", Public: true}, "token-2", "us-east-1"},
	} {
		s.ResetCalls()
		got, err := r.ECRToken(t.Context(), c.q)
		if err != nil || got.Username != "AWS" || got.Password.Reveal() != c.password {
			t.Errorf("%s: %q, %q, %v", c.q.Host, got.Username, got.Password.Reveal(), err)
		}
		if left := time.Until(got.Expires); left < 11*time.Hour || left > 13*time.Hour {
			t.Errorf("%s: expires in %v", c.q.Host, left)
		}
		if n := s.CountCalls("GetAuthorizationToken"); n != 1 || s.Calls()[0].Region != c.region {
			t.Errorf("%s: calls %+v", c.q.Host, s.Calls())
		}
	}
	behind := newResolver(t, Options{Now: func() time.Time { return time.Now().Add(-time.Hour) }})
	if got, err := behind.ECRToken(t.Context(), ECRRequest{Host: "h", Region: "eu-west-1"}); err != nil || time.Until(got.Expires) > 11*time.Hour+time.Minute {
		t.Errorf("by a clock that is an hour behind it expires in %v, %v, want 12 h of that clock", time.Until(got.Expires), err)
	}
	s.Deny("*", "ecr*:GetAuthorizationToken", "*")
	_, err := r.ECRToken(t.Context(), ECRRequest{Host: "h", Region: "eu-west-1"})
	checkError(t, err, fault.Denied, "get ECR token for h in eu-west-1", "allow ecr:GetAuthorizationToken")
	want := []string{
		`for=123456789012.dkr.ecr.eu-west-1.amazonaws.com reference="ECR token of eu-west-1" result=ok`,
		`for=public.ecr.aws reference="ECR Public token" result=ok`, `for=h reference="ECR token of eu-west-1" result=denied`,
	}
	if !slices.Equal(audited, want) {
		t.Errorf("audited %q, want %q", audited, want)
	}
}
