package resolve

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/secret"
	"github.com/secretref/secretref/shared/ttl"
)

func TestObjects(t *testing.T) {
	s := newFake(t)
	var refs []string
	want := map[string]string{}
	for key, body := range map[string]string{
		"plain":                    "v",
		"a folder/b+c&d=e%20f/é€😀": "odd key",
		"a:b::":                    "colons",
		"/a//b":                    "slashes",
		"json":                     `{"a": 1}`,
		"large":                    strings.Repeat("x", 1<<20),
		"lines":                    "a\r\nb\n",
	} {
		arn := s.PutObject(fakeaws.Object{Bucket: "example.secrets", Key: key, Body: body, VersionID: "v-" + key[:1]})
		refs, want[arn] = append(refs, arn), body
	}
	for i, r := range newResolver(t, Options{}).Resolve(t.Context(), requests(t, refs...)...) {
		if r.Err != nil || r.Value.Reveal() != want[refs[i]] {
			t.Errorf("%s = %d bytes, %v, want %.20q", refs[i], len(r.Value.Reveal()), r.Err, want[refs[i]])
		}
		if !strings.HasPrefix(r.VersionID, "v-") {
			t.Errorf("%s has version %q", refs[i], r.VersionID)
		}
	}
	if n := s.CountCalls("GetObject"); n != len(refs) {
		t.Errorf("%d calls, want %d", n, len(refs))
	}
}

func TestObjectFailures(t *testing.T) {
	s := newFake(t)
	const key = "arn:aws:kms:us-west-2:123456789012:key/11111111-2222-3333-4444-555555555555"
	put := func(name, body string) string {
		return s.PutObject(fakeaws.Object{Bucket: "secrets", Key: name, Body: body})
	}
	s.Deny("*", "s3:GetObject", "*/denied")
	s.Deny("*", "s3:ListBucket", "arn:aws:s3:::blind")
	s.Deny("*", "kms:Decrypt", key)
	s.PutObject(fakeaws.Object{Bucket: "blind", Key: "there", Body: "v"})
	for _, c := range []struct {
		name, ref string
		kind      fault.Kind
		says      []string
	}{
		{"good", put("good", "v"), "", nil},
		{"no such key", "arn:aws:s3:::secrets/missing", fault.NotFound, []string{"get object arn:aws:s3:::secrets/missing in us-west-2", "NoSuchKey", "aws s3 ls s3://secrets"}},
		{"no such bucket", "arn:aws:s3:::nowhere/a", fault.NotFound, []string{"NoSuchBucket", "compare the bucket's name"}},
		{"denied", put("denied", canary), fault.Denied, []string{"no identity-based policy", "user/host", "allow s3:GetObject", "s3:ListBucket"}},
		{"missing, and the bucket may not be listed", "arn:aws:s3:::blind/missing", fault.Denied, []string{"AccessDenied", "a key that does not exist"}},
		{"the KMS key is denied", s.PutObject(fakeaws.Object{Bucket: "secrets", Key: "kms", Body: canary, KMS: key}), fault.Decrypt, []string{"kms:Decrypt"}},
		{"SSE-C", s.PutObject(fakeaws.Object{Bucket: "secrets", Key: "ssec", Body: canary, SSEC: true}), fault.BadValue, []string{"SSE-C"}},
		{"too large", put("large", canary+strings.Repeat("x", 1<<20)), fault.BadValue, []string{"more than 1024 KiB"}},
		{"empty", put("empty", ""), fault.BadValue, []string{"the object is empty"}},
		{"binary", put("binary", canary+"\x1f\x8b"), fault.BadValue, []string{"binary"}},
		{"NUL", put("nul", canary+"\x00"), fault.BadValue, []string{"binary"}},
		{"another partition", "arn:aws-cn:s3:::secrets/good", "", nil}, // a custom endpoint is for every partition
	} {
		t.Run(c.name, func(t *testing.T) {
			got := newResolver(t, Options{}).Resolve(t.Context(), requests(t, c.ref)...)[0]
			if fault.KindOf(got.Err) != c.kind {
				t.Fatalf("%s: %v, want kind %q", c.ref, got.Err, c.kind)
			}
			for _, words := range c.says {
				if !strings.Contains(got.Err.Error(), words) {
					t.Errorf("%s: error %q does not say %q", c.ref, got.Err, words)
				}
			}
			if got.Err != nil && strings.Contains(got.Err.Error(), canary) {
				t.Errorf("the error holds the value: %v", got.Err)
			}
		})
	}
}

// The bucket says where it is, and its region is remembered for all its objects.
func TestObjectInAnotherRegion(t *testing.T) {
	s := newFake(t)
	a := s.PutObject(fakeaws.Object{Bucket: "far", Key: "a", Region: "eu-central-1", Body: "a"})
	b := s.PutObject(fakeaws.Object{Bucket: "far", Key: "b", Region: "eu-central-1", Body: "b"})
	r := newResolver(t, Options{})
	for i, ref := range []string{a, b} {
		if got := r.Resolve(t.Context(), requests(t, ref)...)[0]; got.Err != nil {
			t.Fatalf("answer %d: %v", i, got.Err)
		}
	}
	var regions []string
	for _, c := range s.Calls() {
		regions = append(regions, c.Region)
	}
	if got := strings.Join(regions, " "); got != "us-west-2 eu-central-1 eu-central-1" {
		t.Errorf("asked in %s", got)
	}
	s.ResetCalls()
	missing := r.Resolve(t.Context(), requests(t, "arn:aws:s3:::far/missing")...)[0].Err
	if !errors.Is(missing, fault.NotFound) || !strings.Contains(missing.Error(), "in eu-central-1") {
		t.Errorf("%v, want NotFound in eu-central-1", missing)
	}
}

func TestObjectAsRole(t *testing.T) {
	s := newFake(t)
	const role = "arn:aws:iam::444455556666:role/object-reader"
	s.PutRole(fakeaws.Role{ARN: role, ExternalID: "fleet-7"})
	ref := s.PutObject(fakeaws.Object{Bucket: "secrets", Key: "a", Body: "v"})
	s.Deny("*:user/host", "s3:GetObject", "*")
	q := requests(t, ref)
	q[0].Role = config.Role{RoleARN: role, ExternalID: "fleet-7"}
	if got := newResolver(t, Options{}).Resolve(t.Context(), q...)[0]; got.Err != nil || got.Value.Reveal() != "v" {
		t.Errorf("as %s: %v", role, got.Err)
	}
	s.Deny("*object-reader*", "s3:GetObject", "*")
	err := newResolver(t, Options{}).Resolve(t.Context(), q...)[0].Err
	if !errors.Is(err, fault.Denied) || !strings.Contains(err.Error(), "allow s3:GetObject on it for role object-reader") {
		t.Errorf("%v, want a denial that names the role", err)
	}
}

// An object that is the same is not sent again; one that has changed is.
func TestObjectIsNotSentTwice(t *testing.T) {
	s := newFake(t)
	now := time.Now()
	r := newResolver(t, Options{Policy: ttl.Policy{TTL: time.Minute, Stale: time.Hour}, Now: func() time.Time { return now }})
	put := func(body string) string {
		return s.PutObject(fakeaws.Object{Bucket: "secrets", Key: "a", Body: body, VersionID: "of " + body})
	}
	q := requests(t, put("one"))
	want := func(step, body string, calls int) {
		t.Helper()
		got := r.Resolve(t.Context(), q...)[0]
		if got.Err != nil || got.Value.Reveal() != body || got.VersionID != "of "+body || got.Stale != nil {
			t.Errorf("%s: %q of version %q, %v, stale %v; want %q", step, got.Value.Reveal(), got.VersionID, got.Err, got.Stale, body)
		}
		if n := s.CountCalls("GetObject"); n != calls {
			t.Errorf("%s: %d calls, want %d", step, n, calls)
		}
	}
	want("first", "one", 1)
	want("fresh", "one", 1)
	now = now.Add(2 * time.Minute)
	want("after the ttl", "one", 2)
	if calls := s.Calls(); calls[0].NotModified || !calls[1].NotModified {
		t.Errorf("answers without the object: %v, %v; want the second alone", calls[0].NotModified, calls[1].NotModified)
	}
	want("fresh again", "one", 2)
	put("two")
	r.Forget(q[0])
	want("changed", "two", 3)
	r.Forget(q[0])
	want("forgotten", "two", 4)
	r.Source(q[0]).Invalidate(secret.New("two"))
	want("refused by the router", "two", 5)

	s.RemoveObject("secrets", "a")
	s.PutObject(fakeaws.Object{Bucket: "secrets", Key: "b", Body: "v"})
	r.Forget(q[0])
	if err := r.Resolve(t.Context(), q...)[0].Err; !errors.Is(err, fault.NotFound) {
		t.Errorf("removed: %v, want NotFound", err)
	}
	put("three")
	r.Forget(q[0])
	want("there again", "three", 7)
}

func TestObjectWhileS3IsAway(t *testing.T) {
	s := newFake(t)
	now := time.Now()
	r := newResolver(t, Options{Policy: ttl.Policy{TTL: time.Minute, Stale: time.Hour}, Now: func() time.Time { return now }})
	q := requests(t, s.PutObject(fakeaws.Object{Bucket: "secrets", Key: "a", Body: "v"}))
	if got := r.Resolve(t.Context(), q...)[0]; got.Err != nil {
		t.Fatal(got.Err)
	}
	for kind, want := range map[fakeaws.FaultKind]fault.Kind{
		fakeaws.Throttle: fault.Throttled, fakeaws.Status503: fault.Unreachable, fakeaws.Status500: fault.Unreachable,
		fakeaws.ResetMidBody: fault.Unreachable, fakeaws.GarbageBody: fault.Unreachable, fakeaws.Empty: fault.Unreachable,
		fakeaws.ExpiredToken: fault.NoCredentials, fakeaws.BadSignature: fault.NoCredentials,
	} {
		if kind == fakeaws.ResetMidBody || kind == fakeaws.GarbageBody || kind == fakeaws.Empty {
			s.PutObject(fakeaws.Object{Bucket: "secrets", Key: "a", Body: "another " + string(kind)})
		}
		now = now.Add(2 * time.Minute)
		s.SetFault(fakeaws.Fault{Service: "s3", Kind: kind})
		got := r.Resolve(t.Context(), q...)[0]
		if got.Err != nil || fault.KindOf(got.Stale) != want {
			t.Errorf("%s: %v, stale %v; want a stale value because of %s", kind, got.Err, got.Stale, want)
		}
		if err := s.ClearFaults(); err != nil {
			t.Fatal(err)
		}
	}
	// One failure is not the end.
	now = now.Add(2 * time.Minute)
	s.SetFault(fakeaws.Fault{Service: "s3", Kind: fakeaws.Status503, Times: 2})
	if got := r.Resolve(t.Context(), q...)[0]; got.Err != nil || got.Stale != nil {
		t.Errorf("after two answers of 503: %v, stale %v", got.Err, got.Stale)
	}
}

func TestObjectWithoutRegion(t *testing.T) {
	newFake(t)
	t.Setenv("AWS_REGION", "")
	r := New(awsconf.New(config.AWS{}, "test", "1"), Options{Timeout: 5 * time.Second})
	t.Cleanup(r.Close)
	err := r.Resolve(t.Context(), requests(t, "arn:aws:s3:::secrets/a")...)[0].Err
	if err == nil || !strings.Contains(err.Error(), `set region under [buckets."secrets"]`) {
		t.Errorf("%v, want one that names [buckets]", err)
	}
}

func TestAccessToObject(t *testing.T) {
	s := newFake(t)
	var seen []string
	r := newResolver(t, Options{Audit: func(a Access) { seen = append(seen, a.String()) }})
	q := requests(t, s.PutObject(fakeaws.Object{Bucket: "secrets", Key: "a", Body: canary}))
	q[0].For = "container 4f2d1c"
	r.Resolve(t.Context(), q...)
	// No version: an ETag may be the MD5 of the text.
	if got, want := strings.Join(seen, "|"), `for="container 4f2d1c" reference=arn:aws:s3:::secrets/a result=ok`; got != want {
		t.Errorf("audit line %q, want %q", got, want)
	}
}
