package awsrouter_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/awsrouter"
	"github.com/secretref/secretref/logplugin/awsrouter/awstest"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/awslogs"
	"github.com/secretref/secretref/logplugin/router/firehose"
	"github.com/secretref/secretref/logplugin/router/kinesis"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

// service is one of the three, as the tests of all of them see it. The group or the stream is called place.
type service struct {
	name    string
	kind    func(*awsrouter.Host) router.Kind
	arn     string // of place, without the account
	options func(place string) map[string]string
	start   func(place string) *receiver
	ordered bool // it keeps the lines of a container in the order in which it has taken them
}

// receiver is a service, or our faults in front of one that we did not write.
type receiver struct {
	*awstest.Server
	lines func(t *testing.T) []string // what is stored, in order
	// fail makes it refuse single records with a code; nil where the service does not answer record by record.
	fail func(func(record string) string)
	// remove removes the group, or its stream of a name; nil where the router creates nothing.
	remove func(t *testing.T, stream string)
}

func services() []service {
	records := func(name string, kind func(*awsrouter.Host) router.Kind, start func(string) *awstest.Stream, resource string) service {
		return service{
			name: name, kind: kind, arn: "arn:aws:" + name + ":eu-west-1::" + resource,
			options: func(place string) map[string]string { return map[string]string{name + "-stream": place} },
			start: func(place string) *receiver {
				s := start(place)
				return &receiver{Server: s.Server, lines: func(*testing.T) []string { return s.Lines() }, fail: s.SetFail}
			},
		}
	}
	firehose := records("firehose", firehose.Kind, awstest.StartFirehose, "deliverystream/")
	kinesis := records("kinesis", kinesis.Kind, awstest.StartKinesis, "stream/")
	kinesis.ordered = true
	return []service{firehose, kinesis, {
		name: "awslogs", kind: awslogs.Kind, arn: "arn:aws:logs:eu-west-1::log-group:", ordered: true,
		options: func(place string) map[string]string {
			return map[string]string{"awslogs-group": place, "awslogs-create-group": "true"}
		},
		start: func(place string) *receiver {
			l := awstest.StartLogs(place)
			lines := func(*testing.T) (all []string) {
				for _, name := range []string{"one", "two"} {
					events, _ := l.Stream(place, routertest.Session(name).ContainerID)
					for _, e := range events {
						all = append(all, e.Message)
					}
				}
				return all
			}
			return &receiver{Server: l.Server, lines: lines, remove: func(_ *testing.T, stream string) { l.Drop(place, stream) }}
		},
	}}
}

// each runs a test with every service.
func each(t *testing.T, test func(t *testing.T, s service)) {
	for _, s := range services() {
		t.Run(s.name, func(t *testing.T) { test(t, s) })
	}
}

// setup is a receiver, a router to it, and the encoders of the containers one and two.
type setup struct {
	service  service
	receiver *receiver
	home     *awstest.Home
	router   router.Router
	encoders []router.Encoder
	sent     int    // lines of each container
	gone     [2]int // of them, those of each container that were deleted once they were stored
}

// lost notes that what was stored is deleted: all of it, or with a name that of the first container.
func (u *setup) lost(stream string) {
	if u.gone[0] = u.sent; stream == "" {
		u.gone[1] = u.sent
	}
}

// on makes a router to a receiver; the options are without their prefix.
func (s service) on(t *testing.T, place string, r *receiver, options map[string]string) *setup {
	t.Helper()
	u := &setup{service: s, receiver: r, home: awstest.NewHome(t)}
	t.Cleanup(r.Close)
	all := s.options(place)
	for name, value := range options {
		all[s.name+"-"+name] = value
	}
	u.encoders, u.router = routerOf(t, s.kind(awsrouter.NewHost(u.home.Session(r.URL()))), all)
	return u
}

// routerOf makes a router of options, and the encoders of the containers one and two.
func routerOf(t *testing.T, kind router.Kind, options map[string]string) (encoders []router.Encoder, r router.Router) {
	t.Helper()
	c, err := kind.New(router.Options{Plain: options})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "two"} {
		session := routertest.Session(name)
		session.Tag = session.ContainerID
		e, err := c.Encoder(t.Context(), session)
		if err != nil {
			t.Fatal(err)
		}
		encoders = append(encoders, e)
	}
	r = c.Router()
	t.Cleanup(func() { _ = r.Close() })
	return encoders, r
}

// batch returns n lines of each container, which are later than those before.
func (u *setup) batch(n int) *router.Batch {
	b := &router.Batch{}
	for c, e := range u.encoders {
		for i := range n {
			at := time.Now().Add(time.Duration(u.sent+i)*time.Millisecond - time.Minute)
			b.Append(e, &router.Record{TimeNano: at.UnixNano(), Source: []byte("stdout"), Line: fmt.Appendf(nil, "%d %04d", c, u.sent+i)})
		}
	}
	u.sent += n
	return b
}

// deliver sends lines until all are taken.
func (u *setup) deliver(t *testing.T, n int) []router.Class {
	t.Helper()
	return routertest.Deliver(t, u.router, u.batch(n), 10, awstest.Old.Secret, awstest.New.Secret)
}

// stored wants each line, those of one container in their order unless the service has taken some of a request and not others, and none
// more than so many times.
func (u *setup) stored(t *testing.T, times int, mixed bool) {
	t.Helper()
	count, last, lines := map[string]int{}, map[byte]string{}, u.receiver.lines(t)
	for _, line := range lines {
		if count[line]++; count[line] > 1 {
			continue
		}
		if line < last[line[0]] && u.service.ordered && !mixed {
			t.Errorf("%q is behind %q", line, last[line[0]])
		}
		last[line[0]] = line
	}
	for c := range u.encoders {
		for i := u.gone[c]; i < u.sent; i++ {
			line := fmt.Sprintf("%d %04d", c, i)
			if n := count[line]; n < 1 || n > times {
				t.Errorf("%q is stored %d times, want 1 to %d", line, n, times)
			}
			delete(count, line)
		}
	}
	if len(count) > 0 {
		t.Errorf("stored is also %q", slices.Collect(maps.Keys(count)))
	}
}
