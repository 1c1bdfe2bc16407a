// Package secret carries values that must never be printed.
//
// A value read from Secrets Manager or Parameter Store travels as a Value from the moment it is read until the
// protocol line or the header is written. Printing, logging or encoding a Value gives "[redacted]", whatever the verb
// and however deep it is buried in another struct. Reveal is the only way out; its callers are the edges of the
// programs, and a reviewer can grep for them.
package secret

import (
	"context"
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Value is a secret text. The zero Value is empty.
//
// The text sits behind a pointer: fmt prints an unexported field of a foreign struct without calling its methods, and
// then shows an address, not the text.
type Value struct{ p *string }

// New returns a Value that holds s.
func New(s string) Value { return Value{&s} }

// Reveal returns the text itself. Call it only where the text leaves the program.
func (v Value) Reveal() string {
	if v.p == nil {
		return ""
	}
	return *v.p
}

// IsEmpty reports whether the text is empty or missing.
func (v Value) IsEmpty() bool { return v.p == nil || *v.p == "" }

// Equal compares in constant time for texts of one length.
func (v Value) Equal(o Value) bool {
	return subtle.ConstantTimeCompare([]byte(v.Reveal()), []byte(o.Reveal())) == 1
}

// Format writes "[redacted]" for every verb.
func (Value) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue keeps the text out of log/slog.
func (Value) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps the text out of JSON, TOML and other encoders.
func (Value) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Source gives a secret at the time of use.
type Source interface {
	// Get returns the present value, from a cache or from AWS; an error is a *fault.Error.
	Get(ctx context.Context) (Value, error)
	// Invalidate says that v was refused where it was used: the next Get asks AWS again.
	// A v that is no longer the present value changes nothing.
	Invalidate(v Value)
}
