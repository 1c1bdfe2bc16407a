package awslogs_test

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/awsrouter"
	"github.com/secretref/secretref/logplugin/awsrouter/awstest"
	"github.com/secretref/secretref/logplugin/frame"
	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/awslogs"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

// captured is what Docker's own driver has sent for some containers, on Docker 28.5.2.
//
//go:embed testdata/docker-28.5.2.json.gz
var captured []byte

// run is what Docker's driver has made of one container.
type run struct {
	Name      string
	Options   map[string]string
	Error     string // of docker create
	Input     string
	Container string // id
	Stream    string
	Format    string // the header of requests with events
	Messages  []string
}

func captures(t *testing.T) (runs []run, inputs map[string][]routertest.InputLine) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(captured))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Inputs map[string][]routertest.InputLine
		Runs   []run
	}
	if err := json.NewDecoder(z).Decode(&file); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"full", "short"} {
		file.Inputs[name] = routertest.Input(t, name)
	}
	return file.Runs, file.Inputs
}

// differences are what Docker's driver has sent and ours does not, each with the reason.
var differences = map[string]string{
	"tag-bad-chars":     "a colon or an asterisk in the name of a stream is refused here, as CloudWatch Logs does",
	"attrs":             "labels and env are refused by Docker's driver, and without effect here",
	"multiline-pattern": "lines of standard error go into the event of standard output that is open there, and are events of their own here",
	"datetime-format":   "likewise",
	"multiline-full":    "likewise",
}

// send sends a container's lines as the log driver does, and returns the messages in the stream.
func (r run) send(t *testing.T, kind router.Kind, logs *awstest.Logs, input []routertest.InputLine) []string {
	t.Helper()
	rules := &options.Rules{Kinds: []router.Kind{kind}}
	given := maps.Clone(r.Options)
	given["logDriver"], given["awslogs-endpoint"] = "awslogs", logs.URL()
	o, err := rules.Parse(given, options.Info{ContainerID: r.Container, ContainerName: "/wire-app"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := kind.New(router.Options{Plain: o.Plain})
	if err != nil {
		t.Fatal(err)
	}
	e, err := c.Encoder(t.Context(), router.Session{ContainerID: r.Container, ContainerName: "/wire-app", Tag: o.Tag})
	if err != nil {
		t.Fatal(err)
	}
	b := &router.Batch{}
	take := func(x *frame.Entry) {
		b.Append(e, &router.Record{TimeNano: x.TimeNano, Source: x.Source, Line: x.Line})
	}
	compiled, err := o.Lines.Compile()
	if err != nil {
		t.Fatal(err)
	}
	flow, now := compiled.Flow(take), time.Now()
	for i, l := range input {
		x := &frame.Entry{Source: []byte(l.Stream), TimeNano: now.Add(time.Duration(i) * time.Millisecond).UnixNano(), Line: l.Line, Pos: int64(i)}
		if flow == nil {
			take(x)
		} else {
			flow.Push(x)
		}
	}
	if flow != nil {
		flow.Flush()
	}
	to := c.Router()
	defer func() { _ = to.Close() }()
	if e := routertest.Send(t, to, b); e != nil {
		t.Fatal(e)
	}
	events, _ := logs.Stream(r.Options["awslogs-group"], r.Stream)
	var messages []string
	for _, x := range events {
		messages = append(messages, x.Message)
	}
	return messages
}

// What Docker's driver has sent for the same lines and options is what ours sends, but for what is declared.
func TestAsDocker(t *testing.T) {
	runs, inputs := captures(t)
	home := awstest.NewHome(t)
	if len(runs) < 18 {
		t.Fatalf("%d runs, want 18 and more", len(runs))
	}
	for _, r := range runs {
		t.Run(r.Name, func(t *testing.T) {
			logs := awstest.StartLogs()
			defer logs.Close()
			kind := awslogs.Kind(awsrouter.NewHost(home.Session(logs.URL())))
			if r.Error != "" {
				rules := &options.Rules{Kinds: []router.Kind{kind}}
				given := maps.Clone(r.Options)
				given["logDriver"] = "awslogs"
				o, err := rules.Parse(given, options.Info{ContainerID: strings.Repeat("0", 64), ContainerName: "/wire-app"})
				if err == nil {
					_, err = kind.New(router.Options{Plain: o.Plain})
				}
				if (err == nil) != (differences[r.Name] != "") {
					t.Errorf("%v, Docker says %q", err, r.Error)
				}
				return
			}
			if r.Name == "tag-bad-chars" {
				c, err := kind.New(router.Options{Plain: r.Options})
				if err != nil {
					t.Fatal(err)
				}
				if _, err = c.Encoder(t.Context(), router.Session{ContainerID: r.Container, Tag: r.Stream}); err == nil || !strings.Contains(err.Error(), "split .ImageName") {
					t.Errorf("%v, want a refusal that says what to write", err)
				}
				return
			}
			got, want := r.send(t, kind, logs, inputs[r.Input]), r.Messages
			for i := range want { // the end of a joined event is declared for all
				if r.Options["awslogs-multiline-pattern"]+r.Options["awslogs-datetime-format"] != "" {
					want[i] = strings.TrimSuffix(want[i], "\n")
				}
			}
			if slices.Equal(got, want) != (differences[r.Name] == "") {
				t.Errorf("stream %s: got %d messages, Docker's driver sends %d", r.Stream, len(got), len(want))
			}
			for i := range min(len(got), len(want)) {
				if differences[r.Name] == "" && got[i] != want[i] {
					t.Errorf("message %d is %d bytes, %.100q, want %d, %.100q", i, len(got[i]), got[i], len(want[i]), want[i])
				}
			}
			format := ""
			for _, x := range logs.Exchanges() {
				format = x.Header.Get("X-Amzn-Logs-Format")
			}
			if format != r.Format {
				t.Errorf("the header of the format is %q, want %q", format, r.Format)
			}
		})
	}
}
