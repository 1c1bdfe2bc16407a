package elasticsearch

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
)

// answerOf is what a server says to n records that it has all created.
func answerOf(before string, n int) string {
	return before + `"errors":false,"items":[` + strings.TrimSuffix(strings.Repeat(string(created)+",", n), ",") + "]}"
}

// The usual answer is known without being parsed, and only that.
func TestAllCreated(t *testing.T) {
	for _, c := range []struct {
		text string
		want bool
	}{
		{answerOf("{", 2), true}, {answerOf(`{"took":30,`, 2), true}, {answerOf("{", 2) + "\n", true},
		{answerOf("{", 1), false}, {answerOf("{", 3), false}, {answerOf("5,", 2), false}, {answerOf(`{"took":x,`, 2), false}, {answerOf(`{"took":3`, 2), false},
		{answerOf("", 2), false}, {answerOf("{", 2) + "x", false}, {strings.TrimSuffix(answerOf("{", 2), "}"), false}, {"{", false}, {"", false},
		{strings.Replace(answerOf("{", 2), "false", "true", 1), false}, {strings.Replace(answerOf("{", 2), "201", "429", 1), false},
	} {
		if got := allCreated([]byte(c.text), 2); got != c.want {
			t.Errorf("allCreated(%q) = %v, want %v", c.text, got, c.want)
		}
	}
}

// What is read of an answer has a memory that is used again, and the answer before leaves nothing in it.
func TestAnswerMemory(t *testing.T) {
	const n = 1000
	good := []byte(answerOf("{", n))
	bad := []byte(strings.Replace(answerOf(`{"took":1,`, n), string(created), `{"create":{"status":400,"error":{"type":"x"}}}`, 1))
	var p answer
	for range 2 {
		a := router.Answer{Status: http.StatusOK, Body: bad}
		if e := p.judge(&a, "send", n); e == nil || len(e.Outcomes) != n || e.Outcomes[0] != router.Refused || slices.Contains(e.Outcomes[1:], router.Refused) {
			t.Errorf("%+v, want the first of %d refused", e, n)
		}
		a.Body = good
		if e := p.judge(&a, "send", n); e != nil {
			t.Errorf("%v, want all taken", e)
		}
	}
	long := []byte(strings.ReplaceAll(string(good), `"status"`, `"_index":"a","status"`))
	if got := testing.AllocsPerRun(100, func() { p.read(good, n); p.read(long, n) }); got != 0 {
		t.Errorf("reading an answer allocates %v times, want 0", got)
	}
}

// agree wants an answer that is not parsed to be what parsing it would give.
func agree(t *testing.T, body []byte, n int) {
	t.Helper()
	if !allCreated(body, n) {
		return
	}
	var said struct {
		Errors bool
		Items  []map[string]struct{ Status int }
	}
	if err := json.Unmarshal(body, &said); err != nil || said.Errors || len(said.Items) != n {
		t.Errorf("%q counts as the answer to %d records that were created: %v, %+v", body, n, err, said)
	}
}
