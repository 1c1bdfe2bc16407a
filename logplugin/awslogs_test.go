package logplugin

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/awsrouter/awstest"
	"github.com/secretref/secretref/logplugin/control"
)

// awsRouter is a router to AWS, as these tests see it.
type awsRouter struct {
	name, place, resource string // the option that names where lines go, and the resource of an ARN
	server                *awstest.Server
	lines                 func() []string
	now                   func(time.Time)
}

func awsRouters(t *testing.T) []awsRouter {
	logs, firehose, kinesis := awstest.StartLogs("app"), awstest.StartFirehose("app"), awstest.StartKinesis("app")
	for _, s := range []*awstest.Server{logs.Server, firehose.Server, kinesis.Server} {
		t.Cleanup(s.Close)
	}
	keep := func(time.Time) {}
	return []awsRouter{
		{"awslogs", "awslogs-group", "logs:eu-west-1:%s:log-group:%s", logs.Server, logs.Messages, logs.SetNow},
		{"firehose", "firehose-stream", "firehose:eu-west-1:%s:deliverystream/%s", firehose.Server, firehose.Lines, keep},
		{"kinesis", "kinesis-stream", "kinesis:eu-west-1:%s:stream/%s", kinesis.Server, kinesis.Lines, keep},
	}
}

func (r awsRouter) arn(account, name string) string {
	return "arn:aws:" + fmt.Sprintf(r.resource, account, name)
}

func (r awsRouter) options(place string, more map[string]string) map[string]string {
	all := map[string]string{"logDriver": r.name, r.place: place}
	for name, value := range more {
		all[r.name+"-"+name] = value
	}
	return all
}

// Where a container may send to is the ARN of its log group or stream, whose account is that of the role or of the host's credentials, and
// the endpoint that it names. The account is asked for when a pattern names one, once for all routers.
func TestWhoMaySendToAWS(t *testing.T) {
	all := awsRouters(t)
	var allowed []string
	for _, r := range all {
		r.now(time.Unix(0, 0)) // that of the lines of these tests
		allowed = append(allowed, r.server.URL(), r.arn("111122223333", "app*"), r.arn("999988887777", "other"))
	}
	d := startDriver(t, fmt.Sprintf("allow_roles = [\"arn:aws:iam::444455556666:role/logs-*\"]\nallow_routers = [\"%s\"]\n", strings.Join(allowed, `", "`)))
	for _, r := range all {
		url := r.server.URL()
		for name, c := range map[string]struct {
			options map[string]string
			says    string
		}{
			"another place":     {r.options("sys", map[string]string{"endpoint": url}), r.arn("", "sys") + ": containers may not send there"},
			"another region":    {r.options("app", map[string]string{"endpoint": url, "region": "eu-west-3"}), "containers may not send there"},
			"another endpoint":  {r.options("app", map[string]string{"endpoint": "http://127.0.0.2:1"}), "http://127.0.0.2:1: containers may not send there"},
			"another account":   {r.options("app", map[string]string{"endpoint": url, "role-arn": "arn:aws:iam::444455556666:role/logs-web"}), r.arn("444455556666", "app") + ": containers may not send there"},
			"a role":            {r.options("app", map[string]string{"role-arn": "arn:aws:iam::111122223333:role/x"}), "allow_roles"},
			"a role of a group": {r.options("app", map[string]string{"role-arn": "arn:aws:iam::444455556666:role/other"}), "allow_roles"},
		} {
			id := r.name + strings.ReplaceAll(name, " ", "")
			d.fifo(t, id)
			if a := d.startWith(t, id, c.options); !strings.Contains(a, c.says) {
				t.Errorf("%s, %s: %s, want a refusal saying %q", r.name, name, a, c.says)
			}
		}
		good, bad := d.fifo(t, "good"+r.name), d.fifo(t, "bad"+r.name)
		for name, o := range map[string]map[string]string{"good": r.options("app", map[string]string{"endpoint": url}), "bad": r.options("other", map[string]string{"endpoint": url})} {
			if a := d.startWith(t, name+r.name, o); a != `{"Err":""}` {
				t.Fatalf("%s, %s: %s", r.name, name, a)
			}
		}
		write(t, good, "one")
		write(t, bad, "two")
	}
	for _, r := range all {
		await(t, "the line of what is allowed", func() bool { return slices.Equal(r.lines(), []string{"one"}) })
	}
	await(t, "a word about each of the others", func() bool {
		_, out := d.run(t, "status")
		return !slices.ContainsFunc(all, func(r awsRouter) bool {
			return !strings.Contains(out, "read "+r.name+" log-opts: read the router's address: "+r.arn("111122223333", "other")+": containers may not send there from this host")
		})
	})
	await(t, "metrics of each", func() bool {
		text, err := control.NewClient(d.state()).Metrics(t.Context())
		return err == nil && !slices.ContainsFunc(all, func(r awsRouter) bool {
			address, router := r.arn("", "app")+" "+r.server.URL(), `router="`+r.name+`"} 1`
			return !strings.Contains(text, `secretref_log_lines_total{address="`+address+`",outcome="sent",`+router) ||
				!strings.Contains(text, `secretref_log_sessions{address="`+address+`",`+router) ||
				!strings.Contains(text, `secretref_log_requests_total{address="`+r.arn("", "other")+" "+r.server.URL()+`",result="config",router="`+r.name+`"} `)
		})
	})
	if asked := d.aws.CountCalls("GetCallerIdentity"); asked != 1 {
		t.Errorf("STS was asked %d times for the account, want once", asked)
	}
	for _, r := range all {
		r.now(time.Now())
		args := []string{"check", "--send"}
		options := r.options("app", map[string]string{"endpoint": r.server.URL()})
		for _, name := range slices.Sorted(maps.Keys(options)) {
			args = append(args, "--log-opt", name+"="+options[name])
		}
		if code, out := d.run(t, args...); code != 0 || !strings.Contains(out, r.arn("111122223333", "app")) || !strings.Contains(out, "ok     the router takes a line") {
			t.Errorf("check --send: %d\n%s", code, out)
		}
	}
}
