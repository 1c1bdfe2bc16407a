// Package fault holds the closed set of reasons for which a reference cannot be resolved.
//
// The kind of an error is what callers test (errors.Is(err, fault.Denied)), what metrics label and what decides
// whether an older value may stand in. It imports no AWS package, so that the warm path of the credential helper can
// tell kinds apart without linking the SDK.
package fault

import (
	"errors"
	"strings"
	"unicode"
)

// Kind is a reason. It is an error itself, as a target for errors.Is.
type Kind string

// The closed set. NotFound to BadReference are permanent: asking again without a change elsewhere gives the same.
const (
	NotFound      Kind = "NotFound"      // no such secret, version, parameter or registry; or scheduled for deletion
	Denied        Kind = "Denied"        // IAM, a resource policy or an SCP says no; or the credentials are refused
	Decrypt       Kind = "Decrypt"       // KMS key missing, disabled or not allowed
	BadValue      Kind = "BadValue"      // there, but not of a shape that can be used
	BadReference  Kind = "BadReference"  // the text of the reference, or a setting that it needs, is wrong
	Throttled     Kind = "Throttled"     // the service asks to slow down
	Unreachable   Kind = "Unreachable"   // no answer, a cut answer, or an answer of 5xx
	NoCredentials Kind = "NoCredentials" // no AWS credentials could be had
)

// Kinds lists the closed set, permanent ones first.
func Kinds() []Kind {
	return []Kind{NotFound, Denied, Decrypt, BadValue, BadReference, Throttled, Unreachable, NoCredentials}
}

// Error makes a Kind a target for errors.Is.
func (k Kind) Error() string { return string(k) }

// Label spells the kind as labels of metrics and audit lines do: not_found for NotFound.
func (k Kind) Label() string {
	var b strings.Builder
	for i, r := range string(k) {
		if i > 0 && unicode.IsUpper(r) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// Transient reports whether the same call may succeed later without any change: only then may a stale value be served.
func (k Kind) Transient() bool { return k == Throttled || k == Unreachable || k == NoCredentials }

// Error is one reference that could not be resolved. No field ever holds a value.
type Error struct {
	Kind   Kind
	Op     string // what was being done, to what: "get secret prod/ghcr"
	Region string // the region that was asked; "" when the request never got that far
	Role   string // ARN of the role or identity that asked; "" for the host's own when its name is not known
	Cause  string // what happened, in words, with the service's error code
	Hint   string // what to do about it; may be empty
	Err    error  // the underlying error, for errors.Is; its text is not printed
}

// Error returns one line: what was done, where, as whom, what happened; what to do.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Region != "" {
		b.WriteString(" in " + e.Region)
	}
	if e.Role != "" {
		b.WriteString(" as " + e.Role)
	}
	b.WriteString(": " + e.Cause)
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return OneLine(b.String())
}

// Is reports whether target is the error's kind.
func (e *Error) Is(target error) bool { return e.Kind == target }

// Unwrap returns the underlying error.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the first *Error in err's chain, or "" when there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

// OneLine makes s fit for a protocol of one line: line breaks and other control characters, those of Unicode included,
// become single spaces, and what goes past 1,000 bytes is cut on a character.
func OneLine(s string) string {
	const limit = 1000
	s = strings.Join(strings.FieldsFunc(s, breaksLine), " ")
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "..."
	}
	return s
}

// breaksLine includes the separators of lines and paragraphs, which Unicode does not count among the controls.
func breaksLine(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }
