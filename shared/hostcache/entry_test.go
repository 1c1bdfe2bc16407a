package hostcache

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/secret"
	"github.com/secretref/secretref/shared/ttl"
)

var t0 = time.Date(2026, 11, 1, 12, 0, 0, 123456789, time.UTC)

func sampleEntries() map[string]entry {
	base := entry{recorded: t0, boot: 90 * time.Hour, read: t0.Add(-time.Hour), window: ttl.Window{Fresh: t0.Add(time.Minute), End: t0.Add(time.Hour)}}
	value := base
	value.hasValue, value.value, value.version = true, secret.New(canary), "EXAMPLE1-90ab-cdef-fedc-ba987EXAMPLE"
	empty := base
	empty.hasValue, empty.value = true, secret.New("")
	failure := base
	failure.failure = &fault.Error{
		Kind: fault.Denied, Op: "get secret prod/ghcr", Region: "eu-west-1",
		Role: "arn:aws:iam::111122223333:role/app-host", Cause: "access denied", Hint: "allow it",
	}
	stale := value
	stale.failure = &fault.Error{Kind: fault.Throttled, Op: "get secret prod/ghcr"}
	large := base
	large.hasValue, large.value = true, secret.New(strings.Repeat("é", 32<<10))
	return map[string]entry{"value": value, "empty value": empty, "failure": failure, "stale": stale, "64 KiB": large}
}

func TestEntryRoundTrip(t *testing.T) {
	for name, e := range sampleEntries() {
		t.Run(name, func(t *testing.T) {
			b := e.appendTo(nil)
			got, err := parseEntry(b)
			if err != nil {
				t.Fatal(err)
			}
			if !got.value.Equal(e.value) || got.version != e.version || got.boot != e.boot || got.hasValue != e.hasValue || !reflect.DeepEqual(got.failure, e.failure) {
				t.Errorf("got %+v, want %+v", got, e)
			}
			for i, pair := range [][2]time.Time{{got.recorded, e.recorded}, {got.read, e.read}, {got.window.Fresh, e.window.Fresh}, {got.window.End, e.window.End}} {
				if !pair[0].Equal(pair[1]) {
					t.Errorf("time %d is %v, want %v", i, pair[0], pair[1])
				}
			}
			for n := range min(len(b), 300) {
				if _, err := parseEntry(b[:n]); err == nil {
					t.Errorf("the first %d bytes of it are an entry", n)
				}
			}
			if _, err := parseEntry(append(b, 0)); err == nil {
				t.Error("with a byte more it is an entry")
			}
		})
	}
}

func TestParseEntryRefuses(t *testing.T) {
	times := make([]byte, 32)
	flags := func(f byte, tail ...byte) []byte {
		return slices.Concat([]byte{flagBoot | f, 0, 0, 0, 0, 0, 0, 0, 0}, tail)
	}
	for name, tail := range map[string][]byte{
		"no flags":         flags(0),
		"unknown flag":     flags(8),
		"no boot time":     {flagValue, 0, 1, 'x', 0, 0, 0, 0, 0, 0},
		"a huge length":    flags(flagValue, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1),
		"an endless one":   flags(flagValue, bytes.Repeat([]byte{0xff}, 20)...),
		"an unknown kind":  flags(flagFailure, 2, 'h', 'i', 0, 0, 0, 0, 0),
		"a kind of length": flags(flagFailure, 0, 0, 0, 0, 0, 0),
	} {
		if e, err := parseEntry(slices.Concat(times, tail)); err == nil {
			t.Errorf("%s: got %+v, want an error", name, e)
		}
	}
}

func FuzzParseEntry(f *testing.F) {
	for _, e := range sampleEntries() {
		f.Add(e.appendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseEntry(b)
		if err != nil {
			return
		}
		again, err := parseEntry(e.appendTo(nil))
		if err != nil || !again.value.Equal(e.value) || again.version != e.version || !again.window.End.Equal(e.window.End) ||
			!reflect.DeepEqual(again.failure, e.failure) {
			t.Errorf("%x reads as %+v, which reads as %+v, %v", b, e, again, err)
		}
	})
}

func FuzzUnseal(f *testing.F) {
	const name = "0123456789abcdef-0123456789abcdef0123456789abcdef"
	sealed, key, err := seal([]byte(canary), name)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add(sealed[:overhead])
	f.Add([]byte{format})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		plain, err := unseal(b, name, key[:])
		if (err == nil) != bytes.Equal(b, sealed) {
			t.Errorf("unseal(%x) = %q, %v; only the sealed bytes themselves may open", b, plain, err)
		}
	})
}

func TestUnsealIsForOneName(t *testing.T) {
	sealed, key, err := seal([]byte(canary), "one")
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := unseal(sealed, "one", key[:]); err != nil || string(plain) != canary {
		t.Errorf("unseal = %q, %v", plain, err)
	}
	if plain, err := unseal(sealed, "two", key[:]); err == nil {
		t.Errorf("under another name it opens: %q", plain)
	}
	again, other, err := seal([]byte(canary), "one")
	if err != nil || other == key || bytes.Equal(again, sealed) {
		t.Errorf("sealed twice: same key %v, same bytes %v, %v", other == key, bytes.Equal(again, sealed), err)
	}
}

func TestNewKey(t *testing.T) {
	base := NewKey([]string{"a", "bc"}, []string{"d"})
	if !base.valid() || idOf(base.name()) != base.ID {
		t.Fatalf("NewKey = %+v is not a key", base)
	}
	if again := NewKey([]string{"a", "bc"}, []string{"d"}); again != base {
		t.Errorf("the same parts give %+v and %+v", base, again)
	}
	for name, c := range map[string]struct {
		group, rest []string
		sameGroup   bool
	}{
		"moved boundary":       {[]string{"ab", "c"}, []string{"d"}, false},
		"from rest to group":   {[]string{"a", "bc", "d"}, nil, false},
		"other rest":           {[]string{"a", "bc"}, []string{"e"}, true},
		"no rest":              {[]string{"a", "bc"}, nil, true},
		"an empty part more":   {[]string{"a", "bc"}, []string{"d", ""}, true},
		"length as text":       {[]string{"a\x02bc"}, []string{"d"}, false},
		"an empty group first": {[]string{"", "a", "bc"}, []string{"d"}, false},
	} {
		k := NewKey(c.group, c.rest)
		if k.ID == base.ID || (k.Group == base.Group) != c.sameGroup {
			t.Errorf("%s: %+v against %+v, want another ID, same group %v", name, k, base, c.sameGroup)
		}
	}
	for _, k := range []Key{{}, {Group: base.Group}, {Group: "../../../../etc", ID: base.ID}, {Group: strings.ToUpper(base.Group), ID: base.ID + "0"}} {
		if k.valid() {
			t.Errorf("%+v is valid", k)
		}
	}
}
