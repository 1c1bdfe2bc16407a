package router

import (
	"context"
	"testing"

	"github.com/secretref/secretref/shared/secret"
)

// counted is a secret that knows how often it was asked for, and told that it was refused.
type counted struct{ asked, refused int }

func (c *counted) Get(context.Context) (secret.Value, error) {
	c.asked++
	return secret.New("k"), nil
}
func (c *counted) Invalidate(secret.Value) { c.refused++ }

// line is an encoder that writes lines as they are.
type line struct{}

func (line) AppendRecord(dst []byte, r *Record) []byte { return append(dst, r.Line...) }

// A batch that goes in several requests asks for the secrets once. What was refused tells the source of the credential, and is about
// the records from the first one of its part on.
func TestLinkSendParts(t *testing.T) {
	for _, c := range []struct {
		name    string
		class   Class // of the second part's error; "" = it is taken
		refused int
	}{{"taken", "", 0}, {"put off", ClassRetry, 0}, {"refused", ClassCredentials, 1}} {
		t.Run(c.name, func(t *testing.T) {
			key := &counted{}
			l := NewLink(LinkConfig[int]{
				Op: "read x log-opts", Options: Options{Secrets: map[string]secret.Source{"x-key": key}}, List: []Option{{Name: "x-key", Credential: true}},
				Credentials: []string{"x-key"}, Read: func(*Values, *Certificates) int { return 7 }, Client: func(int) HTTPConfig { return HTTPConfig{} },
			})
			b := &Batch{}
			for range 5 {
				b.Append(line{}, &Record{Line: []byte("x")})
			}
			parts := 0
			err := l.SendParts(t.Context(), b, 2, 100, func(u *Use[int], part *Batch) *Error {
				if parts++; u.Conn != 7 || u.Values.Secret("x-key").Reveal() != "k" {
					t.Errorf("part %d: %+v", parts, u)
				}
				if c.class != "" && parts == 2 {
					return &Error{Class: c.class, Bad: NoRecord}
				}
				return nil
			})
			want := 3
			if e, _ := err.(*Error); c.class != "" {
				if want = 2; e == nil || e.Delivered != 2 {
					t.Errorf("%+v, want 2 delivered", err)
				}
			}
			if ClassOf(err) != c.class || parts != want || key.asked != 1 || key.refused != c.refused {
				t.Errorf("%v after %d parts, asked %d times, told of %d refusals; want class %q, %d, 1, %d", err, parts, key.asked, key.refused, c.class, want, c.refused)
			}
		})
	}
}
