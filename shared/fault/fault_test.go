package fault

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestError(t *testing.T) {
	err := fmt.Errorf("registry ghcr.io: %w", &Error{
		Kind: Denied, Op: "get secret prod/ghcr", Region: "eu-west-1", Role: "arn:aws:iam::111122223333:role/app-host",
		Cause: "access denied (AccessDeniedException)", Hint: "allow secretsmanager:GetSecretValue on it",
	})
	want := "registry ghcr.io: get secret prod/ghcr in eu-west-1 as arn:aws:iam::111122223333:role/app-host: " +
		"access denied (AccessDeniedException); allow secretsmanager:GetSecretValue on it"
	if err.Error() != want {
		t.Errorf("Error =\n%s\nwant\n%s", err, want)
	}
	if !errors.Is(err, Denied) || errors.Is(err, NotFound) || KindOf(err) != Denied {
		t.Errorf("kind of %v is not Denied alone", err)
	}
	if k := KindOf(errors.New("other")); k != "" {
		t.Errorf("KindOf(other) = %q, want none", k)
	}
}

func TestTransient(t *testing.T) {
	want := map[Kind]bool{Throttled: true, Unreachable: true, NoCredentials: true}
	for _, k := range Kinds() {
		if k.Transient() != want[k] {
			t.Errorf("%s.Transient() = %v, want %v", k, k.Transient(), want[k])
		}
	}
}

func TestOneLine(t *testing.T) {
	for in, want := range map[string]string{
		"a\nb\r\n\tc\x00d": "a b c d",
		"  keep  inner ":   "  keep  inner ",
		"\n":               "",
		"a\u0085b":         "a b",
		"a\u2028\u2029b":   "a b",
		"a\u009b31mb\x7fc": "a 31mb c",
		"a\u00a0b é":       "a\u00a0b é",
	} {
		if got := OneLine(in); got != want {
			t.Errorf("OneLine(%q) = %q, want %q", in, got, want)
		}
	}
	if got := OneLine(strings.Repeat("é", 600)); len(got) > 1003 || !strings.HasSuffix(got, "...") || strings.ContainsRune(got, '\uFFFD') {
		t.Errorf("a long line gave %d bytes ending in %q", len(got), got[len(got)-5:])
	}
}

func TestLabel(t *testing.T) {
	for k, want := range map[Kind]string{NotFound: "not_found", Denied: "denied", BadReference: "bad_reference", NoCredentials: "no_credentials", "": ""} {
		if got := k.Label(); got != want {
			t.Errorf("%q.Label() = %q, want %q", string(k), got, want)
		}
	}
}
