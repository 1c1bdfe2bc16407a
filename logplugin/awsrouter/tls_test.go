package awsrouter_test

import (
	"strings"
	"testing"
)

// An endpoint may have a certificate that the host does not know: the options give its authority, or the name in it, or say that it is
// not verified.
func TestOptionsOfTLS(t *testing.T) {
	each(t, func(t *testing.T, s service) {
		for _, c := range []struct {
			name    string
			options map[string]string // CA stands for the certificate
			want    string            // in the error; "" = lines are delivered
		}{
			{"neither", nil, "signed by an unknown authority; give its authority in " + s.name + "-ca-cert or ca_bundle under [aws]"},
			{"authority", map[string]string{"ca-cert": "CA"}, ""},
			{"authority and name", map[string]string{"ca-cert": "CA", "tls-server-name": "example.com"}, ""},
			{"another name", map[string]string{"ca-cert": "CA", "tls-server-name": "elsewhere.test"}, "in " + s.name + "-tls-server-name"},
			{"not verified", map[string]string{"insecure-skip-verify": "true"}, ""},
		} {
			t.Run(c.name, func(t *testing.T) {
				receiver := s.start("place")
				address, ca := inFront(t, receiver)
				options := map[string]string{"endpoint": address}
				for name, value := range c.options {
					options[name] = strings.Replace(value, "CA", ca, 1)
				}
				u := s.on(t, "place", receiver, options)
				err := u.router.Send(t.Context(), u.batch(1))
				if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("%v, want %q", err, c.want)
				}
			})
		}
	})
}
