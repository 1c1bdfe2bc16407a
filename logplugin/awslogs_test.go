package logplugin

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/awsrouter/awstest"
)

// Where a container may send to is the ARN of its log group, whose account is that of the host's credentials, and the endpoint that
// it names. The account is asked for when a pattern names one, once.
func TestWhoMaySendToAWS(t *testing.T) {
	logs := awstest.StartLogs("app")
	t.Cleanup(logs.Close)
	logs.SetNow(time.Unix(0, 0)) // that of the lines of these tests
	options := func(group, endpoint string) map[string]string {
		return map[string]string{"logDriver": "awslogs", "awslogs-group": group, "awslogs-endpoint": endpoint, "awslogs-stream": "s"}
	}
	d := startDriver(t, fmt.Sprintf("allow_routers = [%q, %q, %q]\n", logs.URL(), "arn:aws:logs:eu-west-1:111122223333:log-group:app*", "arn:aws:logs:eu-west-1:999988887777:log-group:other"))
	for name, c := range map[string]struct {
		options map[string]string
		says    string
	}{
		"another group":    {options("sys", logs.URL()), "arn:aws:logs:eu-west-1::log-group:sys: containers may not send there"},
		"another endpoint": {options("app", "http://127.0.0.2:1"), "http://127.0.0.2:1: containers may not send there"},
		"a role":           {map[string]string{"logDriver": "awslogs", "awslogs-group": "app", "awslogs-role-arn": "arn:aws:iam::111122223333:role/x"}, "allow_roles"},
	} {
		d.fifo(t, strings.ReplaceAll(name, " ", ""))
		if a := d.startWith(t, strings.ReplaceAll(name, " ", ""), c.options); !strings.Contains(a, c.says) {
			t.Errorf("%s: %s, want a refusal saying %q", name, a, c.says)
		}
	}
	good, bad := d.fifo(t, "good"), d.fifo(t, "bad")
	for name, o := range map[string]map[string]string{"good": options("app", logs.URL()), "bad": options("other", logs.URL())} {
		if a := d.startWith(t, name, o); a != `{"Err":""}` {
			t.Fatalf("%s: %s", name, a)
		}
	}
	write(t, good, "one")
	write(t, bad, "two")
	await(t, "the line of the group that is allowed", func() bool { return slices.Equal(logs.Messages(), []string{"one"}) })
	await(t, "a word about the other", func() bool {
		_, out := d.run(t, "status")
		return strings.Contains(out, "containers may not send there from this host")
	})
	if asked := d.aws.CountCalls("GetCallerIdentity"); asked != 1 {
		t.Errorf("STS was asked %d times for the account, want once", asked)
	}
	logs.SetNow(time.Now())
	if code, out := d.run(t, "check", "--send", "--log-opt", "logDriver=awslogs", "--log-opt", "awslogs-group=app", "--log-opt", "awslogs-endpoint="+logs.URL()); code != 0 ||
		!strings.Contains(out, "arn:aws:logs:eu-west-1:111122223333:log-group:app") || !strings.Contains(out, "ok     the router takes a line") {
		t.Errorf("check --send: %d\n%s", code, out)
	}
}
