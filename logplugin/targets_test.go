package logplugin

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/secretref/secretref/logplugin/frame"
	"github.com/secretref/secretref/logplugin/router/datadog/datadogtest"
	"github.com/secretref/secretref/logplugin/router/elasticsearch/elastictest"
	"github.com/secretref/secretref/logplugin/router/loki/lokitest"
	"github.com/secretref/secretref/logplugin/router/newrelic/newrelictest"
	"github.com/secretref/secretref/logplugin/router/otlp/otlptest"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

// target is a router's receiver, and the options with which containers log to it.
type target struct {
	name     string
	options  map[string]string // SECRET in a value is the reference
	receiver *routertest.Receiver
	lines    func() []string                           // that were accepted, in order for each container
	setToken func(token string)                        // the only one that is good from now on
	refused  func(f *frame.Entry, n int) (line string) // makes an entry that the receiver refuses while it takes others
	stored   bool                                      // lines are found by their place: none comes twice, and one that was put off comes later
}

func lokiTarget() target {
	s := lokitest.Start(lokitest.Options{})
	return target{
		name: "loki", receiver: s.Receiver, options: map[string]string{"logDriver": "loki", "loki-url": s.URL(), "secretOptions.loki-bearer-token": "SECRET"},
		lines: func() (lines []string) {
			for _, e := range s.Entries() {
				lines = append(lines, e.Line)
			}
			return lines
		},
		setToken: func(token string) { s.SetAuth("Bearer " + token) },
		refused: func(f *frame.Entry, n int) string {
			f.TimeNano = time.Now().Add(-2 * lokitest.MaxAge).UnixNano()
			return fmt.Sprint("refused ", n)
		},
	}
}

func otlpTarget() target {
	s := otlptest.Start(otlptest.Options{Reject: isRefused})
	return target{
		name: "otlp", receiver: s.Receiver, options: map[string]string{"logDriver": "otlp", "otlp-endpoint": s.URL(), "secretOptions.otlp-headers.Authorization": "SECRET"},
		lines: func() (lines []string) {
			for _, r := range s.Records() {
				lines = append(lines, r.Line)
			}
			return lines
		},
		setToken: func(token string) { s.SetAuth(token) },
		refused:  refusedLine,
	}
}

func datadogTarget() target {
	s := datadogtest.Start(datadogtest.Options{Reject: isRefused})
	return target{
		name: "datadog", receiver: s.Receiver, options: map[string]string{"logDriver": "datadog", "datadog-host": s.URL(), "secretOptions.datadog-api-key": "SECRET"},
		lines: func() (lines []string) {
			for _, log := range s.Logs() {
				lines = append(lines, fmt.Sprint(log["message"]))
			}
			return lines
		},
		setToken: func(token string) { s.SetKeys(token) },
		refused:  refusedLine,
	}
}

func newrelicTarget() target {
	s := newrelictest.Start(newrelictest.Options{Reject: isRefused})
	return target{
		name: "newrelic", receiver: s.Receiver, options: map[string]string{"logDriver": "newrelic", "newrelic-endpoint": s.URL(), "secretOptions.newrelic-license-key": "SECRET"},
		lines: func() (lines []string) {
			for _, log := range s.Logs() {
				lines = append(lines, log.Message)
			}
			return lines
		},
		setToken: func(token string) { s.SetKeys(token) },
		refused:  refusedLine,
	}
}

func httpTarget() target {
	x := target{name: "http", refused: refusedLine}
	var mu sync.Mutex
	var good string
	var lines []string
	x.receiver = routertest.StartReceiver(routertest.ReceiverOptions{Handle: func(w http.ResponseWriter, r *http.Request, body []byte) {
		mu.Lock()
		defer mu.Unlock()
		var taken []string
		for line := range strings.Lines(string(body)) {
			taken = append(taken, strings.TrimSuffix(line, "\n"))
		}
		switch {
		case r.Header.Get("X-Token") != good:
			w.WriteHeader(http.StatusUnauthorized)
		case slices.ContainsFunc(taken, isRefused):
			w.WriteHeader(http.StatusBadRequest)
		default:
			lines = append(lines, taken...)
		}
	}})
	x.options = map[string]string{"logDriver": "http", "http-url": x.receiver.URL(), "http-format": "raw", "secretOptions.http-header.X-Token": "SECRET"}
	x.lines = func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(lines)
	}
	x.setToken = func(token string) {
		mu.Lock()
		defer mu.Unlock()
		good = token
	}
	return x
}

// elasticTarget is a server that puts off some lines at their first coming. Its lines are those that were created: what comes again
// is stored once.
func elasticTarget() target {
	var busy int // lines so far
	s := elastictest.Start(elastictest.Options{Reject: isRefused, Fail: func(elastictest.Document) (int, string) {
		if busy++; busy%1999 == 0 {
			return http.StatusTooManyRequests, "es_rejected_execution_exception"
		}
		return 0, ""
	}})
	return target{
		name: "elasticsearch", receiver: s.Receiver, options: map[string]string{"logDriver": "elasticsearch", "elasticsearch-url": s.URL(), "secretOptions.elasticsearch-api-key": "SECRET"},
		lines: func() (lines []string) {
			for _, d := range s.Documents() {
				lines = append(lines, d.Message())
			}
			return lines
		},
		setToken: func(token string) { s.SetAuth("ApiKey " + token) },
		refused:  refusedLine,
		stored:   true,
	}
}

// isRefused reports whether a receiver refuses a line that refusedLine has made.
func isRefused(line string) bool { return strings.HasPrefix(line, "refused") }

func refusedLine(_ *frame.Entry, n int) string { return fmt.Sprint("refused ", n) }
