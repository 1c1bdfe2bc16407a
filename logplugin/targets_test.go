package logplugin

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/awsrouter/awstest"
	"github.com/secretref/secretref/logplugin/frame"
	"github.com/secretref/secretref/logplugin/router/datadog/datadogtest"
	"github.com/secretref/secretref/logplugin/router/elasticsearch/elastictest"
	"github.com/secretref/secretref/logplugin/router/fluentd/forwardtest"
	"github.com/secretref/secretref/logplugin/router/logdna/logdnatest"
	"github.com/secretref/secretref/logplugin/router/loki/lokitest"
	"github.com/secretref/secretref/logplugin/router/newrelic/newrelictest"
	"github.com/secretref/secretref/logplugin/router/otlp/otlptest"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/logplugin/router/splunk/hectest"
	"github.com/secretref/secretref/shared/rig"
)

// target is a router's receiver, and the options with which containers log to it.
type target struct {
	name     string
	url      string                                    // as allow_routers has it; "" means that the router has no address
	options  map[string]string                         // SECRET in a value is the reference
	lines    func(from int) []string                   // that were accepted, in order for each container, but for the first; nil means that nobody sees them
	setToken func(token string)                        // the only one that is good from now on; nil means that the router has no credential
	refused  func(f *frame.Entry, n int) (line string) // makes an entry that the receiver refuses while it takes others; nil = it refuses none
	away     func(is bool)                             // from now on; nil means that there is no receiver
	tries    func() int                                // requests so far, or what stands for one
	close    func()
	stored   bool // lines are found by their place: none comes twice, and one that was put off comes later
	apart    bool // a line is all that the receiver has of a record: those of an event are records of their own
	asks     bool // the receiver says without a line whether it is there, and whether it takes the credential
}

// target starts a target, and makes token good there. SECRET in its options becomes the reference of d.
func (d *driver) target(t *testing.T, make func() target) target {
	t.Helper()
	x := make()
	t.Cleanup(x.close)
	if x.setToken != nil {
		x.setToken(token)
	}
	options := map[string]string{}
	for name, value := range x.options {
		options[name] = strings.ReplaceAll(value, "SECRET", d.reference)
	}
	x.options = options
	return x
}

// over completes a target whose receiver is r.
func (x target) over(r *routertest.Receiver) target {
	x.url, x.close = r.URL(), r.Close
	x.tries = func() int { return len(r.Exchanges()) }
	x.away = func(is bool) {
		if r.FailAlways(nil); is {
			r.FailAlways(&routertest.Mishap{Status: http.StatusServiceUnavailable})
		}
	}
	return x
}

// targets are those of all routers, and of the outputs that FireLens has.
func targets() map[string]func() target {
	all := answeringTargets()
	maps.Copy(all, silentTargets())
	return all
}

// answeringTargets are those whose receivers acknowledge what they take.
func answeringTargets() map[string]func() target {
	all := firelensTargets()
	maps.Copy(all, map[string]func() target{
		"splunk": splunkTarget, "fluentd": fluentdTarget, "loki": lokiTarget, "otlp": otlpTarget, "datadog": datadogTarget, "newrelic": newrelicTarget, "logdna": logdnaTarget,
		"http": httpTarget, "elasticsearch": elasticTarget, "opensearch": openSearchTarget, "awslogs": awslogsTarget, "firehose": firehoseTarget, "kinesis": kinesisTarget, "s3": s3Target,
	})
	return all
}

func splunkTarget() target {
	s, err := hectest.Start(hectest.Options{Tokens: []string{token}})
	if err != nil {
		panic(err)
	}
	return target{
		name: "splunk", url: s.URL(), options: map[string]string{"logDriver": "splunk", "splunk-url": s.URL(), "splunk-format": "raw", "tag": "", "secretOptions.splunk-token": "SECRET"},
		lines: func(from int) (lines []string) {
			for _, e := range s.Events()[from:] {
				var event struct{ Event string }
				if err := json.Unmarshal([]byte(e.Text), &event); err != nil {
					panic(err)
				}
				lines = append(lines, event.Event)
			}
			return lines
		},
		setToken: func(token string) { s.SetTokens(token) },
		away: func(is bool) {
			if s.FailAlways(nil); is {
				s.FailAlways(&hectest.Fault{Status: http.StatusServiceUnavailable})
			}
		},
		tries: func() int { return len(s.Requests()) },
		close: s.Close,
		asks:  true,
	}
}

func fluentdTarget() target {
	s, err := forwardtest.Start(forwardtest.Options{SharedKey: token})
	if err != nil {
		panic(err)
	}
	return target{
		name: "fluentd", url: s.Address(), options: map[string]string{
			"logDriver": "fluentd", "fluentd-address": s.Address(), "fluentd-request-ack": "true", "secretOptions.fluentd-shared-key": "SECRET",
		},
		lines: func(from int) (lines []string) {
			for _, e := range s.Entries()[from:] {
				lines = append(lines, e.Get("log"))
			}
			return lines
		},
		setToken: s.SetSharedKey,
		away: func(is bool) {
			if s.SetFault(forwardtest.None); is {
				s.SetFault(forwardtest.Close)
				s.Disconnect()
			}
		},
		tries: s.Connections,
		close: s.Close,
		asks:  true,
	}
}

func lokiTarget() target {
	s := lokitest.Start(lokitest.Options{})
	return target{
		name: "loki", asks: true, options: map[string]string{"logDriver": "loki", "loki-url": s.URL(), "secretOptions.loki-bearer-token": "SECRET"},
		lines: func(from int) (lines []string) {
			for _, e := range s.Entries()[from:] {
				lines = append(lines, e.Line)
			}
			return lines
		},
		setToken: func(token string) { s.SetAuth("Bearer " + token) },
		refused: func(f *frame.Entry, n int) string {
			f.TimeNano = time.Now().Add(-2 * lokitest.MaxAge).UnixNano()
			return fmt.Sprint("refused ", n)
		},
	}.over(s.Receiver)
}

// openLokiTarget is one that wants no credential: where FireLens has a password in the address there is none by reference.
func openLokiTarget() target {
	x := lokiTarget()
	x.setToken = nil
	return x
}

func otlpTarget() target {
	s := otlptest.Start(otlptest.Options{Reject: isRefused})
	return target{
		name: "otlp", asks: true, options: map[string]string{"logDriver": "otlp", "otlp-endpoint": s.URL(), "secretOptions.otlp-headers.Authorization": "SECRET"},
		lines: func(from int) (lines []string) {
			for _, r := range s.Records()[from:] {
				lines = append(lines, r.Line)
			}
			return lines
		},
		setToken: func(token string) { s.SetAuth(token) },
		refused:  refusedLine,
	}.over(s.Receiver)
}

func datadogTarget() target {
	s := datadogtest.Start(datadogtest.Options{Reject: isRefused})
	return target{
		name: "datadog", options: map[string]string{"logDriver": "datadog", "datadog-host": s.URL(), "secretOptions.datadog-api-key": "SECRET"},
		lines: func(from int) (lines []string) {
			for _, log := range s.Logs()[from:] {
				lines = append(lines, fmt.Sprint(log["message"]))
			}
			return lines
		},
		setToken: func(token string) { s.SetKeys(token) },
		refused:  refusedLine,
	}.over(s.Receiver)
}

func newrelicTarget() target {
	s := newrelictest.Start(newrelictest.Options{Reject: isRefused})
	return target{
		name: "newrelic", options: map[string]string{"logDriver": "newrelic", "newrelic-endpoint": s.URL(), "secretOptions.newrelic-license-key": "SECRET"},
		lines: func(from int) (lines []string) {
			for _, log := range s.Logs()[from:] {
				lines = append(lines, log.Message)
			}
			return lines
		},
		setToken: func(token string) { s.SetKeys(token) },
		refused:  refusedLine,
	}.over(s.Receiver)
}

func logdnaTarget() target { return logdnaTargetOver(nil) }

// secureLogDNATarget is one with TLS, which the output of FireLens always uses.
func secureLogDNATarget() target {
	ca, err := rig.NewCA()
	if err != nil {
		panic(err)
	}
	server, err := ca.ServerConfig("127.0.0.1")
	if err != nil {
		panic(err)
	}
	return logdnaTargetOver(server)
}

func logdnaTargetOver(secure *tls.Config) target {
	s := logdnatest.Start(logdnatest.Options{ReceiverOptions: routertest.ReceiverOptions{TLS: secure}, Reject: func(line string) bool { return isRefused(lineOf(line)) }})
	return target{
		name: "logdna", options: map[string]string{"logDriver": "logdna", "logdna-url": s.URL(), "secretOptions.logdna-api-key": "SECRET"},
		lines: func(from int) (lines []string) {
			for _, l := range s.Lines()[from:] {
				lines = append(lines, l.Line)
			}
			return lines
		},
		setToken: func(token string) { s.SetKeys(token) },
		refused:  refusedLine,
	}.over(s.Receiver)
}

func httpTarget() target {
	x := httpTargetOf(func(line string) string { return line })
	x.apart = true
	return x
}

// httpTargetOf is a receiver of lines, of which lineOf makes what was logged.
func httpTargetOf(lineOf func(string) string) target {
	x := target{name: "http", refused: refusedLine}
	var mu sync.Mutex
	var good string
	var lines []string
	receiver := routertest.StartReceiver(routertest.ReceiverOptions{Handle: func(w http.ResponseWriter, r *http.Request, body []byte) {
		mu.Lock()
		defer mu.Unlock()
		var taken []string
		for line := range strings.Lines(string(body)) {
			taken = append(taken, lineOf(strings.TrimSuffix(line, "\n")))
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
	x.options = map[string]string{"logDriver": "http", "http-url": receiver.URL(), "http-format": "raw", "secretOptions.http-header.X-Token": "SECRET"}
	x.lines = func(from int) []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(lines[from:])
	}
	x.setToken = func(token string) {
		mu.Lock()
		defer mu.Unlock()
		good = token
	}
	return x.over(receiver)
}

// elasticTarget is a server that puts off some lines at their first coming. Its lines are those that were created: what comes again
// is stored once.
func elasticTarget() target {
	return elasticTargetOf("es_rejected_execution_exception", func(token string) string { return "ApiKey " + token })
}

// openSearchTarget is one with users and passwords in place of keys, and with the names that OpenSearch has for its errors.
func openSearchTarget() target {
	x := elasticTargetOf("rejected_execution_exception", func(token string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte("u:"+token)) })
	x.options = map[string]string{"logDriver": "elasticsearch", "elasticsearch-url": x.url, "elasticsearch-user": "u", "secretOptions.elasticsearch-password": "SECRET"}
	return x
}

// elasticTargetOf is a server that puts lines off with an error of this name, and for which auth makes the header of a token.
func elasticTargetOf(busyName string, auth func(token string) string) target {
	var busy int // lines so far
	s := elastictest.Start(elastictest.Options{Reject: isRefused, Fail: func(elastictest.Document) (int, string) {
		if busy++; busy%1999 == 0 {
			return http.StatusTooManyRequests, busyName
		}
		return 0, ""
	}})
	return target{
		name: "elasticsearch", asks: true, options: map[string]string{"logDriver": "elasticsearch", "elasticsearch-url": s.URL(), "secretOptions.elasticsearch-api-key": "SECRET"},
		lines: func(from int) (lines []string) {
			for _, d := range s.Documents()[from:] {
				lines = append(lines, d.Message())
			}
			return lines
		},
		setToken: func(token string) { s.SetAuth(auth(token)) },
		refused:  refusedLine,
		stored:   true,
	}.over(s.Receiver)
}

// awslogsTarget is CloudWatch Logs. The credentials are the host's, which nothing replaces here: any token but "another" stands for them.
func awslogsTarget() target {
	s := awstest.StartLogs()
	s.SetReject(func(message string) bool { return isRefused(lineOf(message)) })
	return target{
		name: "awslogs", asks: true, lines: func(from int) []string { return s.Messages()[from:] }, refused: refusedLine,
		setToken: func(given string) {
			if s.SetKey(awstest.Old); given == "another" {
				s.SetKey(awstest.New)
			}
		},
		options: map[string]string{"logDriver": "awslogs", "awslogs-group": "new", "awslogs-create-group": "true", "awslogs-endpoint": s.URL()},
	}.over(s.Receiver)
}

// firehoseTarget is Firehose; see awslogsTarget for the credentials. It refuses no record for good.
func firehoseTarget() target { return streamTarget("firehose", awstest.StartFirehose("s")) }

// kinesisTarget is Kinesis, likewise.
func kinesisTarget() target { return streamTarget("kinesis", awstest.StartKinesis("s")) }

func streamTarget(name string, s *awstest.Stream) target {
	return target{
		name: name, asks: true, lines: func(from int) []string { return s.Lines()[from:] },
		setToken: func(given string) {
			if s.SetKey(awstest.Old); given == "another" {
				s.SetKey(awstest.New)
			}
		},
		options: map[string]string{"logDriver": name, name + "-stream": "s", name + "-endpoint": s.URL()},
	}.over(s.Receiver)
}

// s3Target is S3, likewise. Its lines are those of its objects, of which one that comes again replaces itself. They are in the order in which they
// were first stored.
func s3Target() target {
	s := awstest.StartS3("logs")
	var mu sync.Mutex
	var seen []string
	is := map[string]bool{}
	return target{
		name: "s3", stored: true, apart: true, lines: func(from int) []string {
			mu.Lock()
			defer mu.Unlock()
			stored := s.Lines()
			for _, l := range stored {
				if !is[l] {
					is[l] = true
					seen = append(seen, l)
				}
			}
			if from == 0 {
				return stored
			}
			return slices.Clone(seen[from:])
		},
		setToken: func(given string) {
			if s.SetKey(awstest.Old); given == "another" {
				s.SetKey(awstest.New)
			}
		},
		options: map[string]string{"logDriver": "s3", "s3-bucket": "logs", "s3-format": "raw", "s3-upload-timeout": "1s", "s3-compression": "gzip", "s3-endpoint": s.URL()},
	}.over(s.Receiver)
}

// isRefused reports whether a receiver refuses a line that refusedLine has made.
func isRefused(line string) bool { return strings.HasPrefix(line, "refused") }

func refusedLine(_ *frame.Entry, n int) string { return fmt.Sprint("refused ", n) }
