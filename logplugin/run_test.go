package logplugin

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/secretref/secretref/logplugin/control"
	"github.com/secretref/secretref/logplugin/metrics"
	"github.com/secretref/secretref/logplugin/router/splunk/hectest"
	"github.com/secretref/secretref/logplugin/session"
	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/polltest"
	"github.com/secretref/secretref/shared/porttest"
)

const token = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"

func run(ctx context.Context, args ...string) (int, string) {
	var out buffer
	code := Run(ctx, Program{Args: args, Stdout: &out, Stderr: &out, Getenv: func(string) string { return "" }, Version: "1"})
	return code, out.String()
}

// buffer is an output that two goroutines may use.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	polltest.Until(t, 10*time.Second, what, is)
}

func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"", 2, "Usage:"}, {"help", 0, "Usage:"}, {"--help", 0, "Usage:"}, {"serve --help", 0, "--socket PATH"}, {"version", 0, "1"}, {"bogus", 2, "unknown command"},
		{"stats", 2, "did you mean status?"}, {"serve --sokcet /x", 2, "serve: unknown option --sokcet; did you mean --socket?; see secretref-logdriver serve --help"},
		{"status --socket /x", 2, "unknown option --socket"}, {"serve --log-level loud", 2, "log-level"}, {"serve --log-format xml", 2, "text or json"},
		{"check -h", 0, "Usage: secretref-logdriver check [OPTIONS]"}, {"forget --help", 0, "forget ID [OPTIONS]"}, {"version --help", 0, "Usage: secretref-logdriver version\n"},
		{"serve x", 2, "too much"}, {"serve --json", 2, "--help"}, {"version --state-dir /x", 2, "--help"}, {"forget", 2, "which session"}, {"forget a b", 2, "too much"},
		{"check --log-opt x", 2, "NAME=VALUE"}, {"check --log-opt a=1 --log-opt a=2", 2, "a is given twice"},
		{"status --config /nowhere/config.toml", 1, "/nowhere/config.toml"},
		{"status --state-dir " + t.TempDir(), 1, "no log driver answers"},
		{"forget 1234 --state-dir " + t.TempDir() + " --force", 1, "no log driver answers"},
	} {
		if code, out := run(t.Context(), strings.Fields(tt.args)...); code != tt.code || !strings.Contains(out, tt.want) {
			t.Errorf("%q: %d, %q; want %d, %q", tt.args, code, out, tt.code, tt.want)
		}
	}
}

// The whole life of a driver: a session, its numbers in status and metrics, its end by hand, the end.
func TestServe(t *testing.T) {
	d := startDriver(t, "metrics_address = \""+porttest.Address(t)+"\"\n")
	f := d.container(t, "c1")
	write(t, f, "one", "two")
	await(t, "two lines", func() bool { return d.hec.Count() == 2 })
	var report control.Report
	var all []session.Status
	await(t, "the numbers", func() bool {
		code, out := d.run(t, "status", "--json")
		if err := json.Unmarshal([]byte(out), &report); err != nil || code != 0 || report.Version != 1 || report.Program != "1" || len(report.Attention) > 0 {
			t.Fatalf("status --json: %d, %v, %s", code, err, out)
		}
		all = report.Sessions
		return len(all) == 1 && all[0].SentLines == 2 && all[0].WaitingBytes == 0
	})
	if s := all[0]; s.ContainerName != "c1" || s.Router != "splunk" || s.Address != d.hec.URL() || s.State != session.Reading || s.Mode == "" || s.LastLine.IsZero() {
		t.Errorf("status %+v", s)
	}
	code, table := d.run(t, "status")
	for _, want := range []string{"SESSION", "LAST ERROR", all[0].Session, "c1", "splunk " + d.hec.URL(), "reading"} {
		if code != 0 || !strings.Contains(table, want) {
			t.Errorf("status: %d, no %q in\n%s", code, want, table)
		}
	}
	d.metrics(t, all[0])

	// The receiver fails: status says so, and its exit status too.
	d.hec.FailAlways(&hectest.Fault{Code: 9})
	write(t, f, "three")
	await(t, "attention", func() bool { code, _ := d.run(t, "status"); return code == exitAttention })
	if _, out := d.run(t, "status"); !strings.Contains(out, "HEC code 9") || !strings.Contains(out, Name+": attention: 1 sessions with an error, the first of container c1: ") {
		t.Errorf("status does not say why:\n%s", out)
	}
	id := all[0].Session
	if code, out := d.run(t, "forget", id); code != 1 || !strings.Contains(out, "stop it first") {
		t.Errorf("forget: %d, %s", code, out)
	}
	if code, out := d.run(t, "forget", id, "--discard", "--force"); code != 0 || !strings.Contains(out, "session "+id+" of container c1") || !strings.Contains(out, "given up") {
		t.Errorf("forget --discard --force: %d, %s", code, out)
	}
	if code, out := d.run(t, "status", "--json"); code != 0 || !strings.Contains(out, `"attention":[],"sessions":[]`) {
		t.Errorf("status afterwards: %d, %s", code, out)
	}
	if code, out := d.run(t, "status"); code != 0 || !strings.Contains(out, "kept for docker logs: ") || !strings.Contains(out, " of 1 containers") {
		t.Errorf("status does not say what is kept: %d, %s", code, out)
	}
	if code, out := d.run(t, "forget", "--ended", "ffff"); code != 1 || !strings.Contains(out, `nothing is kept of a container "ffff"`) {
		t.Errorf("forget --ended of an unknown container: %d, %s", code, out)
	}
	if code, out := d.run(t, "forget", "--ended"); code != 0 || !strings.Contains(out, "deleted what was kept for docker logs: ") || !strings.Contains(out, " of 1 containers") {
		t.Errorf("forget --ended: %d, %s", code, out)
	}
	if code, out := d.run(t, "status", "--json"); code != 0 || !strings.Contains(out, `"history":{"bytes":0,"containers":0}`) {
		t.Errorf("status after forget --ended: %d, %s", code, out)
	}
	if a := d.call(t, "LogDriver.StopLogging", map[string]any{"File": f.Name()}); a != `{"Err":""}` {
		t.Errorf("StopLogging of a forgotten session: %s", a)
	}
	if code := d.stop(); code != 0 {
		t.Errorf("the end: %d\n%s", code, d.log)
	}
	for _, secret := range []string{token, "hunter2"} {
		if strings.Contains(d.log.String(), secret) {
			t.Errorf("the log holds a secret:\n%s", d.log)
		}
	}
}

// metrics compares the two places that show them with each other and with the status of the one session.
func (d *driver) metrics(t *testing.T, s session.Status) {
	t.Helper()
	text, err := control.NewClient(d.state()).Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	target := `{address="` + d.hec.URL() + `",router="splunk"`
	container := `{container_id="` + s.ContainerID + `",container_name="c1",`
	for _, want := range []string{
		`secretref_build_info{goversion="` + runtime.Version() + `",version="1"} 1`,
		`secretref_config_broken 0`,
		`secretref_log_attention_reasons 0`,
		`secretref_log_sent_bytes_total` + target + `} `,
		`secretref_log_last_success_timestamp_seconds` + target + `} `,
		`secretref_log_sessions` + target + `} 1`,
		`secretref_log_lines_total{address="` + d.hec.URL() + `",outcome="sent",router="splunk"} 2`,
		`secretref_log_lines_total{address="` + d.hec.URL() + `",outcome="dropped",router="splunk"} 0`,
		`secretref_log_requests_total{address="` + d.hec.URL() + `",result="ok",router="splunk"} `,
		`secretref_log_requests_total{address="` + d.hec.URL() + `",result="credentials",router="splunk"} 0`,
		`secretref_log_router_failing` + target + `} 0`,
		`secretref_log_container_lines_total` + container + `outcome="sent",router="splunk",session="` + s.Session + `"} 2`,
		`secretref_log_container_waiting_bytes` + container + `router="splunk",session="` + s.Session + `"} 0`,
		`secretref_spool_sessions{mode="` + string(s.Mode) + `"} 1`,
		`secretref_resolve_total{result="ok"} 1`,
		`secretref_resolve_total{result="bad_reference"} 0`,
		`secretref_log_containers_refused_total 0`,
		`process_resident_memory_bytes `,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("no %q in the metrics", want)
		}
	}
	if problems, err := promlint.New(strings.NewReader(text)).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
	// Labels names what is there: the manual page is held to it.
	var shown []string
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(line, "# TYPE secretref_"); ok {
			shown = append(shown, "secretref_"+strings.Fields(name)[0])
		}
	}
	isOther := func(name string) bool { // the driver is started for logs alone
		return strings.HasPrefix(name, "secretref_volume") || strings.HasPrefix(name, "secretref_swarm_") || strings.HasPrefix(name, "secretref_variable_")
	}
	want := slices.DeleteFunc(slices.Sorted(maps.Keys(metrics.Labels())), isOther)
	slices.Sort(shown)
	if !slices.Equal(shown, want) {
		t.Errorf("metrics %q, want %q", shown, want)
	}
	if t.Failed() {
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "secretref_") {
				t.Log(line)
			}
		}
	}
	conf, err := os.ReadFile(d.args[1])
	if err != nil {
		t.Fatal(err)
	}
	_, address, _ := strings.Cut(string(conf), `metrics_address = "`)
	address, _, _ = strings.Cut(address, `"`)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(b), "\nsecretref_log_sessions"+target+"} 1") {
		t.Errorf("metrics on TCP: %v\n%s", err, b)
	}
	req.URL.Path = "/status"
	resp, err = http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("status on TCP: %v, %v", resp, err)
	} else {
		resp.Body.Close()
	}
}

// A host with many containers may do without a series for each.
func TestMetricsPerContainer(t *testing.T) {
	for extra, want := range map[string]int{"": 3, "metrics_per_container = true\n": 3, "metrics_per_container = false\n": 0} {
		d := startDriver(t, extra)
		d.container(t, "c1")
		text, err := control.NewClient(d.state()).Metrics(t.Context())
		if n := strings.Count(text, "# TYPE secretref_log_container_"); err != nil || n != want || !strings.Contains(text, "\nsecretref_log_sessions{") {
			t.Errorf("%q: %d metrics of containers, want %d (%v)", extra, n, want, err)
		}
		d.stop()
	}
}

func TestWatch(t *testing.T) {
	d := startDriver(t, "")
	ctx, stop := context.WithCancel(t.Context())
	var out buffer
	done := make(chan int, 1)
	go func() {
		done <- Run(ctx, Program{Args: append([]string{"status", "--watch"}, d.args...), Stdout: &out, Stderr: &out, Getenv: func(string) string { return "" }})
	}()
	await(t, "two pages", func() bool { return strings.Count(out.String(), "SESSION") == 2 })
	d.stop()
	await(t, "the driver's end", func() bool { return strings.Contains(out.String(), "no log driver answers") })
	stop()
	if code := <-done; code != 0 {
		t.Errorf("exit status %d, want 0", code)
	}
}

func TestASecondDriver(t *testing.T) {
	d := startDriver(t, "")
	code, out := d.run(t, "serve", "--socket", d.socket+"2")
	if code != 1 || !strings.Contains(out, "in use by another") {
		t.Errorf("a second driver: %d, %s", code, out)
	}
}

func TestCheck(t *testing.T) {
	d := startDriver(t, "allow_references = [\"arn:aws:secretsmanager:*:*:secret:logs/*\"]\n")
	good := []string{"logDriver=splunk", "splunk-url=" + d.hec.URL(), "secretOptions.splunk-token=" + d.reference}
	other := d.aws.PutSecret(fakeaws.Secret{Name: "logs/other", String: `{"token":"not-the-token"}`})
	for _, tt := range []struct {
		name string
		opts []string
		code int
		want []string
	}{
		{"no options", nil, 0, []string{"ok     configuration: " + d.args[1], "ok     state directory: ", "ok     the running driver: sessions: 0"}},
		{"good", good, 0, []string{"ok     log options: logDriver splunk " + d.hec.URL(), "ok     secretOptions.splunk-token: " + d.reference + ", version ",
			"ok     the router answers", "ok     the router takes the credentials"}},
		{"unknown option", append(good[:2:2], "splunk-tokn=x"), 1, []string{"failed log options: ", "did you mean splunk-token"}},
		{"not allowed", append(good[:2:2], "secretOptions.splunk-token=/other"), 1, []string{"failed log options: ", "allow_references"}},
		{"written out", append(good[:2:2], "splunk-token="+token), 1, []string{"failed log-opt splunk-token: it is written out", "ok     the router takes the credentials"}},
		{"missing", append(good[:2:2], "secretOptions.splunk-token=arn:aws:secretsmanager:eu-west-1:111122223333:secret:logs/none-AbCdEf"), 1,
			[]string{"failed secretOptions.splunk-token: ", "ResourceNotFoundException"}},
		{"wrong token", append(good[:2:2], "secretOptions.splunk-token="+other+":token::"), 1, []string{"failed the router takes the credentials: ", "Invalid token"}},
		{"nobody there", append(good[2:3:3], "logDriver=splunk", "splunk-url=http://127.0.0.1:1"), 1, []string{"failed the router answers: ", "connection refused"}},
	} {
		args := []string{"check"}
		for _, o := range tt.opts {
			args = append(args, "--log-opt", o)
		}
		code, out := d.run(t, args...)
		for _, want := range tt.want {
			if code != tt.code || !strings.Contains(out, want) {
				t.Errorf("%s: %d, want %d, and %q in\n%s", tt.name, code, tt.code, want, out)
			}
		}
		if strings.Contains(out, token) || strings.Contains(out, "not-the-token") {
			t.Errorf("%s: it shows a token:\n%s", tt.name, out)
		}
	}
	if d.hec.Count() != 0 {
		t.Errorf("%d events were sent", d.hec.Count())
	}
}

// The running driver carries out check, with its own credentials; one line goes out with --send. Without a driver this
// process does it, and says so.
func TestCheckIsTheDrivers(t *testing.T) {
	d := startDriver(t, "")
	args := []string{"check", "--send", "--log-opt", "logDriver=splunk", "--log-opt", "splunk-url=" + d.hec.URL(), "--log-opt", "secretOptions.splunk-token=" + d.reference}
	before := d.aws.CountCalls("GetSecretValue")
	const alone = "note   the log options are tried by this process"
	code, out := d.run(t, args...)
	if code != 0 || !strings.Contains(out, "ok     the router takes a line: secretref-logdriver check --send at ") || strings.Contains(out, alone) {
		t.Errorf("check --send: %d\n%s", code, out)
	}
	if e := d.hec.Events(); len(e) != 1 || !strings.Contains(e[0].Text, "secretref-logdriver check --send at ") {
		t.Errorf("events %+v, want the line", e)
	}
	// The value is in the memory of the driver now, so it was the driver that has asked.
	if code, out := d.run(t, args...); code != 0 || d.aws.CountCalls("GetSecretValue") != before+1 {
		t.Errorf("check again: %d, %d calls of AWS, want 1\n%s", code, d.aws.CountCalls("GetSecretValue")-before, out)
	}
	d.hec.FailAlways(&hectest.Fault{Code: 9})
	if code, out := d.run(t, args...); code != 1 || !strings.Contains(out, "failed ") || !strings.Contains(out, "HEC code 9") {
		t.Errorf("check with a receiver that is busy: %d\n%s", code, out)
	}
	d.hec.FailAlways(nil)
	d.stop()
	code, out = d.run(t, args...)
	if code != 0 || !strings.Contains(out, "note   no log driver answers") || !strings.Contains(out, alone) || !strings.Contains(out, "ok     the router takes a line") {
		t.Errorf("check without a driver: %d\n%s", code, out)
	}
	if code, out := d.run(t, "check", "--send"); code != 1 || !strings.Contains(out, "--send needs --log-opt") {
		t.Errorf("check --send alone: %d, %s", code, out)
	}
}
