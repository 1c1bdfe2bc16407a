package splunk

import (
	"net/http"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
)

// The usual answer is read for every batch: it costs a few allocations, and no search for secrets.
func TestAnswerAllocs(t *testing.T) {
	said := router.Answer{Status: http.StatusOK, Media: "application/json", Body: []byte(`{"text":"Success","code":0}`)}
	n := testing.AllocsPerRun(100, func() {
		a := parseAnswer(said) // which has nothing to redact with, and would panic
		if !a.isYes() {
			t.Fatalf("the answer %s was read as a refusal", said.Body)
		}
	})
	if n > 20 {
		t.Errorf("an answer allocates %v times, want 20 at most", n)
	}
}
