package awslogs

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/secretref/secretref/logplugin/awsrouter/awstest"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

// The stream is created once in the whole driver, the group where the options say so.
func TestCreate(t *testing.T) {
	t.Run("stream", func(t *testing.T) {
		s := start(t, nil)
		b, lines := routertest.Batch(s.encoders[:1], 3)
		if e := s.send(t, b); e != nil {
			t.Fatal(e)
		}
		if got, want := s.logs.Calls(), []string{"PutLogEvents", "CreateLogStream", "PutLogEvents"}; !slices.Equal(got, want) {
			t.Errorf("calls %q, want %q", got, want)
		}
		if got := s.messages(strings.Repeat("o", 64)); !slices.Equal(got, lines) {
			t.Errorf("the stream has %q, want %q", got, lines)
		}
		if e := s.send(t, b); e != nil || len(s.logs.Calls()) != 4 {
			t.Errorf("the second batch: %v, calls %q", e, s.logs.Calls())
		}
	})
	t.Run("group", func(t *testing.T) {
		s := start(t, map[string]string{group: "new", createGroup: "true"})
		b, _ := routertest.Batch(s.encoders[:1], 3)
		if e := s.send(t, b); e != nil {
			t.Fatal(e)
		}
		if got, want := s.logs.Calls(), []string{"PutLogEvents", "CreateLogStream", "CreateLogGroup", "CreateLogStream", "PutLogEvents"}; !slices.Equal(got, want) {
			t.Errorf("calls %q, want %q", got, want)
		}
	})
	t.Run("once", func(t *testing.T) {
		s := start(t, map[string]string{stream: "shared", group: "new", createGroup: "true"})
		var wg sync.WaitGroup
		for range 6 { // routers of their own, as containers with other options have them
			r := s.config.Router()
			e := s.encoder(t, s.config, "x")
			wg.Go(func() {
				defer func() { _ = r.Close() }()
				b, _ := routertest.Batch([]router.Encoder{e}, 3)
				if err := r.Send(t.Context(), b); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := count(s.logs.Calls()); n["CreateLogGroup"] != 1 || n["CreateLogStream"] != 2 { // the first try finds that the group is missing
			t.Errorf("calls %v, want one group and its stream created once", n)
		}
	})
	for _, c := range []struct {
		name    string
		options map[string]string
		says    string
	}{
		{"no group", map[string]string{group: "none"}, "awslogs-create-group=true"},
		{"no stream", map[string]string{createStream: "false"}, "awslogs-create-stream=true"},
		{"neither", map[string]string{group: "none", createStream: "false", createGroup: "true"}, "create log group none and log stream"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, c.options)
			b, _ := routertest.Batch(s.encoders[:1], 3)
			if e := s.send(t, b); routertest.ClassOf(e) != router.ClassConfig || !strings.Contains(e.Error(), c.says) {
				t.Errorf("%v, want class config saying %q", e, c.says)
			}
		})
	}
	t.Run("denied", func(t *testing.T) {
		s := start(t, nil)
		s.logs.Deny("CreateLogStream", true)
		b, _ := routertest.Batch(s.encoders[:1], 3)
		if e := s.send(t, b); routertest.ClassOf(e) != router.ClassCredentials || !strings.Contains(e.Error(), "logs:CreateLogStream") {
			t.Errorf("%v, want class credentials naming the permission", e)
		}
		s.logs.Deny("CreateLogStream", false)
		if e := s.send(t, b); e != nil {
			t.Errorf("once it is allowed: %v", e)
		}
	})
	t.Run("deleted", func(t *testing.T) {
		s := start(t, map[string]string{createGroup: "true", retention: "7"})
		b, lines := routertest.Batch(s.encoders[:1], 3)
		for _, deleted := range []string{"", strings.Repeat("o", 64)} { // the group, then the stream alone
			for range 2 {
				if e := s.send(t, b); e != nil {
					t.Fatal(e)
				}
			}
			s.logs.Drop(testGroup, deleted)
			if e := s.send(t, b); e != nil || !slices.Equal(s.messages(strings.Repeat("o", 64)), lines) {
				t.Errorf("after %q was deleted: %v, the stream has %q", deleted, e, s.messages(strings.Repeat("o", 64)))
			}
		}
		if _, days := s.logs.Group(testGroup); days != 7 {
			t.Errorf("the group keeps lines for %d days, want 7", days)
		}
	})
	t.Run("not seen yet", func(t *testing.T) { // by another part of CloudWatch Logs
		s := start(t, nil)
		unseen := awstest.Answer{Code: "ResourceNotFoundException", Message: "The specified log stream does not exist."}
		b, lines := routertest.Batch(s.encoders[:1], 3)
		s.logs.Say(unseen, awstest.Answer{}, unseen, unseen, unseen)
		if got := routertest.Deliver(t, s.router, b, 3); !slices.Equal(got, []router.Class{router.ClassRetry, router.ClassRetry}) {
			t.Errorf("failures %q", got)
		}
		if n := count(s.logs.Calls())["CreateLogStream"]; n != 1 || !slices.Equal(s.logs.Messages(), lines) {
			t.Errorf("the stream was created %d times, want once; it has %q", n, s.logs.Messages())
		}
	})
}

func count(calls []string) map[string]int {
	n := map[string]int{}
	for _, c := range calls {
		n[c]++
	}
	return n
}

// However many sessions there are, and while CloudWatch Logs creates no more than so many streams in a second, each stream is created once
// in the whole driver.
func TestCreateForMany(t *testing.T) {
	const sessions = 200
	t.Run("one stream", func(t *testing.T) {
		s := start(t, map[string]string{stream: "shared", group: "new", createGroup: "true"})
		s.logs.Throttle("CreateLogStream", 1)
		s.logs.Throttle("CreateLogGroup", 1)
		var wg sync.WaitGroup
		for range sessions { // routers of their own, as containers with other options have them
			r := s.config.Router()
			b, _ := routertest.Batch([]router.Encoder{s.encoder(t, s.config, "x")}, 3)
			wg.Go(func() {
				defer func() { _ = r.Close() }()
				routertest.Deliver(t, r, b, sessions)
			})
		}
		wg.Wait()
		s.created(t, 1, 3*sessions)
	})
	t.Run("many streams", func(t *testing.T) {
		s := start(t, map[string]string{group: "new", createGroup: "true"})
		s.logs.Throttle("CreateLogStream", 50)
		var wg sync.WaitGroup
		for from := range 4 { // batches at a time
			b := &router.Batch{}
			for n := range sessions / 4 {
				e := s.named(t, s.config, fmt.Sprint(from, "-", n))
				for range 3 {
					b.Append(e, &router.Record{TimeNano: base.UnixNano(), Line: []byte("x")})
				}
			}
			wg.Go(func() { routertest.Deliver(t, s.router, b, sessions) })
		}
		wg.Wait()
		s.created(t, sessions, 3*sessions)
	})
}

// A stream that cannot be created at present holds up no stream that is there, and no other is tried in vain.
func TestThrottledCreation(t *testing.T) {
	for _, c := range []struct {
		code string
		want router.Class
	}{{"ThrottlingException", router.ClassRetry}, {"LimitExceededException", router.ClassRetry}, {"AccessDeniedException", router.ClassCredentials}} {
		s := start(t, nil)
		s.logs.Make(testGroup, "there")
		b := &router.Batch{}
		for _, name := range []string{"new", "newer", "there"} {
			b.Append(s.named(t, s.config, name), &router.Record{TimeNano: base.UnixNano(), Line: []byte(name)})
		}
		s.logs.Say(awstest.Answer{}, awstest.Answer{Code: c.code})
		e := s.send(t, b)
		if want := []router.Outcome{router.Again, router.Again, router.Taken}; routertest.ClassOf(e) != c.want || !slices.Equal(e.Outcomes, want) || !strings.Contains(e.Error(), "create log stream new") {
			t.Errorf("%s: %+v, want class %s and outcomes %v", c.code, e, c.want, want)
		}
		if n := count(s.logs.Calls())["CreateLogStream"]; n != 1 {
			t.Errorf("%s: %d streams were tried, want one", c.code, n)
		}
		if routertest.Deliver(t, s.router, b, 0); !slices.Equal(s.messages("newer"), []string{"newer"}) {
			t.Errorf("%s: afterwards %q", c.code, s.logs.Messages())
		}
	}
}

// created wants that a group and so many streams were created, each once, and that so many lines are stored.
func (s *setup) created(t *testing.T, streams, lines int) {
	t.Helper()
	created := s.logs.Created()
	slices.Sort(created)
	if again := slices.Compact(slices.Clone(created)); len(created) != 1+streams || len(again) != len(created) {
		t.Errorf("%d calls created %d groups and streams, want %d and each once", len(created), len(again), 1+streams)
	}
	if got := len(s.logs.Messages()); got != lines {
		t.Errorf("%d lines are stored, want %d", got, lines)
	}
}

// A log group that is created has the class, the tags and the retention of the options, and an event can be a whole record of Fluent Bit.
func TestCreatedGroup(t *testing.T) {
	s := start(t, map[string]string{group: "made", createGroup: "true", retention: "30", class: "INFREQUENT_ACCESS", groupTags: `team=blue,owner=me@example.com`, "awslogs-fluent-bit": "output=cloudwatch"})
	b := &router.Batch{}
	b.Append(s.encoders[0], &router.Record{TimeNano: base.UnixNano(), Source: []byte("stdout"), Line: []byte("a")})
	if e := s.send(t, b); e != nil {
		t.Fatal(e)
	}
	if got, days := s.logs.Group("made"); got != "INFREQUENT_ACCESS" || days != 30 {
		t.Errorf("the group has the class %q and a retention of %d days", got, days)
	}
	if got, want := s.logs.Tags("made"), map[string]string{"team": "blue", "owner": "me@example.com"}; !maps.Equal(got, want) {
		t.Errorf("the group has the tags %v, want %v", got, want)
	}
	want := `{"container_id":"` + routertest.Session("one").ContainerID + `","container_name":"/one","source":"stdout","log":"a"}`
	if got := s.logs.Messages(); len(got) != 1 || got[0] != want {
		t.Errorf("events %q, want %s", got, want)
	}
	s = start(t, map[string]string{group: "made", createGroup: "true", retention: "30"})
	s.logs.Deny("PutRetentionPolicy", true)
	b.Reset()
	b.Append(s.encoders[0], &router.Record{TimeNano: base.UnixNano(), Line: []byte("a")})
	for range 2 {
		if e := s.send(t, b); routertest.ClassOf(e) != router.ClassCredentials || !strings.Contains(e.Error(), "set the retention of log group made") {
			t.Errorf("without the permission: %v, want class credentials", e)
		}
	}
	s.logs.Deny("PutRetentionPolicy", false)
	if e := s.send(t, b); e != nil {
		t.Errorf("with the permission: %v", e)
	}
	if _, days := s.logs.Group("made"); days != 30 || len(s.logs.Created()) != 2 {
		t.Errorf("the group keeps lines for %d days, want 30; created were %q, want each once", days, s.logs.Created())
	}
}

// A stream that cannot be written to keeps its own lines, and no others.
func TestOneStreamFails(t *testing.T) {
	s := start(t, nil)
	b, lines := routertest.Batch(s.encoders, 20)
	if e := s.send(t, b); e != nil {
		t.Fatal(e)
	}
	s.logs.Say(awstest.Answer{Code: "InvalidParameterException", Message: "Value at 'logStreamName' is bad"})
	e := s.send(t, b)
	if routertest.ClassOf(e) != router.ClassConfig || e.Delivered != 0 || len(e.Outcomes) != 20 {
		t.Fatalf("%+v, want class config and outcomes of 20 records", e)
	}
	for i, o := range e.Outcomes {
		if want := map[bool]router.Outcome{true: router.Again, false: router.Taken}[i < 10]; o != want {
			t.Errorf("record %d has outcome %d, want %d", i, o, want)
		}
	}
	if got, want := s.messages(strings.Repeat("t", 64)), append(slices.Clone(lines[10:]), lines[10:]...); !slices.Equal(got, want) {
		t.Errorf("the good stream has %d lines, want %d", len(got), len(want))
	}
}
