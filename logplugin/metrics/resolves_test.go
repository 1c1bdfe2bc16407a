package metrics

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secretref/secretref/shared/fault"
)

// AWS is in trouble from a failure of its own until it answers, be it with a refusal, or nobody has asked for a while.
func TestTrouble(t *testing.T) {
	for _, tt := range []struct {
		name  string
		calls []fault.Kind
		after time.Duration
		want  string // "" = none
	}{
		{"nothing asked", nil, 0, ""},
		{"an answer", []fault.Kind{""}, 0, ""},
		{"a refusal", []fault.Kind{fault.Denied}, 0, ""},
		{"it hangs", []fault.Kind{"", fault.Unreachable}, 9 * time.Minute, "Unreachable) since 2000-01-01T00:00:01Z"},
		{"since the first failure", []fault.Kind{fault.Throttled, fault.Unreachable}, 0, "Unreachable) since 2000-01-01T00:00:00Z"},
		{"it answers again", []fault.Kind{fault.Unreachable, ""}, 0, ""},
		{"it refuses", []fault.Kind{fault.Unreachable, fault.NotFound}, 0, ""},
		{"long ago", []fault.Kind{fault.NoCredentials}, 11 * time.Minute, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var r Resolves
				for i, k := range tt.calls {
					if i > 0 {
						<-time.After(time.Second)
					}
					r.Observe(k)
				}
				<-time.After(tt.after)
				if got := r.Trouble(); !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") {
					t.Errorf("Trouble() = %q, want %q in it", got, tt.want)
				}
			})
		})
	}
}
