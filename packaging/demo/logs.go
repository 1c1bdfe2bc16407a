package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/secretref/secretref/logplugin/router/splunk/hectest"
	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/rig"
)

// The container writes so many lines, in about ten seconds.
const lines = 8000

// The part of the log driver and of volumes in the configuration, as it would stand in a drop-in.
const logsConfiguration = `# Log routers' tokens by reference: see secretref-config(5).
[aws]
region = "eu-west-1"

[logs]
state_dir        = %q
allow_references = ["arn:aws:secretsmanager:*:*:secret:logs/*"]
allow_routers    = ["https://127.0.0.1:*"]
allow_files      = [%q]

[secrets]
allow_references = ["arn:aws:secretsmanager:*:*:secret:app/*"]
values_dir       = %q
volumes_dir      = %q
`

// logs is the log driver's part of the host.
type logs struct {
	collector *hectest.Server
	name      string // of the driver, by which the daemon finds it
	token     string // the secret's ARN
	driver    *exec.Cmd
	output    *os.File // of the driver
	files     files
}

// socket returns where the daemon finds a driver; suffix is that of its name.
func (l *logs) socket(suffix string) string {
	return "/run/docker/plugins/" + l.name + suffix + ".sock"
}

// logStart sets up a collector that wants a token, puts the token into Secrets Manager and starts the driver.
func logStart(ctx context.Context, h *host) error {
	l := &h.logs
	l.name = "secretref-demo-" + strconv.Itoa(os.Getpid())
	ca, err := rig.NewCA()
	if err != nil {
		return err
	}
	tlsConfig, err := ca.ServerConfig("127.0.0.1")
	if err != nil {
		return err
	}
	l.collector, err = hectest.Start(hectest.Options{Tokens: []string{h.oldToken.Value()}, TLS: tlsConfig})
	if err != nil {
		return err
	}
	h.later(func() error { l.collector.Close(); return nil })
	h.out.lines("event collector  " + l.collector.URL() + ", TLS, wants a token")
	l.token = h.aws.PutSecret(fakeaws.Secret{Name: "logs/splunk", String: `{"token":"` + h.oldToken.Value() + `"}`})
	h.out.say("on AWS this is: aws secretsmanager create-secret --name logs/splunk --secret-string file://splunk.json")
	if err := h.logs.files.makeValues(h); err != nil {
		return err
	}
	err = errors.Join(
		os.WriteFile(h.dir+"/etc/logs.toml", fmt.Appendf(nil, logsConfiguration, h.dir+"/logs", h.dir+"/etc", h.logs.files.values, h.logs.files.values), 0o644),
		os.WriteFile(h.dir+"/etc/collector-ca.pem", ca.PEM(), 0o644),
	)
	if err != nil {
		return err
	}
	if l.output, err = os.Create(h.dir + "/etc/driver.log"); err != nil {
		return err
	}
	h.later(func() error {
		return errors.Join(l.output.Close(), l.end(syscall.SIGTERM), os.RemoveAll(h.dir+"/logs"))
	})
	if err := h.sh(ctx, command{line: "cat etc/logs.toml", want: []string{"allow_references"}}); err != nil {
		return err
	}
	if err := l.start(ctx, h); err != nil {
		return err
	}
	h.out.say("in real life it is a service of systemd, or docker plugin install")
	return h.sh(ctx, command{line: "secretref-logdriver check --config etc/logs.toml" + l.logOpts(h), want: []string{
		"ok     secretOptions.splunk-token: " + l.token + ":token::, version ", "ok     the router takes the credentials",
	}})
}

// logOpts is how a container, and check, name router and reference.
func (l *logs) logOpts(h *host) string {
	return " --log-opt logDriver=splunk --log-opt splunk-url=" + l.collector.URL() + " --log-opt splunk-capath=" + h.dir + "/etc/collector-ca.pem" +
		" --log-opt secretOptions.splunk-token=" + l.token + ":token::"
}

// start starts the driver and waits until it answers.
func (l *logs) start(ctx context.Context, h *host) error {
	sockets := []string{"--socket", l.socket(""), "--volume-socket", l.socket("-files"), "--runtime-socket", l.runtimeSocket(h)}
	h.out.command("secretref-logdriver serve --config etc/logs.toml " + strings.Join(sockets, " ") + " &")
	l.driver = exec.Command(h.dir+"/bin/secretref-logdriver", append([]string{"serve", "--config", h.dir + "/etc/logs.toml"}, sockets...)...)
	l.driver.Env, l.driver.Stdout, l.driver.Stderr = h.env(), l.output, l.output
	l.driver.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := l.driver.Start(); err != nil {
		return err
	}
	return h.await(ctx, "the driver answers", func() (bool, error) {
		r, err := rig.Cmd{Args: []string{h.dir + "/bin/secretref-logdriver", "status", "--config", h.dir + "/etc/logs.toml"}, Env: h.env(), Timeout: 5 * time.Second}.Run(ctx)
		return err == nil || r.Code == 3, nil
	})
}

// end ends the driver, if there is one.
func (l *logs) end(sig syscall.Signal) error {
	if l.driver == nil {
		return nil
	}
	err := l.driver.Process.Signal(sig)
	_ = l.driver.Wait() // how a killed process ends is known
	l.driver = nil
	return err
}

// await polls until is says true.
func (h *host) await(ctx context.Context, what string, is func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, fmt.Errorf("not within 30 s: %s", what))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := is(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// awaitEvents waits until the collector has more than n events.
func (h *host) awaitEvents(ctx context.Context, n int) error {
	return h.await(ctx, fmt.Sprintf("more than %d events at the collector", n), func() (bool, error) { return h.logs.collector.Count() > n, nil })
}

func logRun(ctx context.Context, h *host) error {
	if err := h.dockerd.Import(ctx, "counter", h.dir+"/bin/counter"); err != nil {
		return err
	}
	err := h.sh(ctx, command{line: "docker run --detach --name web --network none --log-driver " + h.logs.name + h.logs.logOpts(h) + " counter " + strconv.Itoa(lines)})
	if err != nil {
		return err
	}
	if err := h.awaitEvents(ctx, 0); err != nil {
		return err
	}
	h.out.say("the collector has the first events, such as %s", h.logs.collector.Events()[0].Text)
	return h.sh(ctx,
		command{line: "docker inspect --format '{{json .HostConfig.LogConfig.Config}}' web", want: []string{`"secretOptions.splunk-token":"` + h.logs.token + `:token::"`}},
		command{line: "docker logs web 2>&1 | head -2", want: []string{"line 0", "line 1"}},
	)
}

func logRotate(ctx context.Context, h *host) error {
	l := &h.logs
	version := h.aws.RotateSecret(l.token, `{"token":"`+h.newToken.Value()+`"}`)
	l.collector.SetTokens(h.newToken.Value())
	before := l.collector.Count()
	h.out.say("AWSCURRENT is now version %s, and the collector refuses the old token; it has %d events", version, before)
	if err := h.awaitEvents(ctx, before); err != nil {
		return err
	}
	h.out.say("and then more of them: the running container was not touched")
	return nil
}

func logKill(ctx context.Context, h *host) error {
	l := &h.logs
	h.out.command("kill -9 " + strconv.Itoa(l.driver.Process.Pid))
	if err := l.end(syscall.SIGKILL); err != nil {
		return err
	}
	before := l.collector.Count()
	h.out.say("the collector has %d events, and the container goes on", before)
	if err := l.start(ctx, h); err != nil {
		return err
	}
	err := h.sh(ctx,
		command{line: "docker wait web", want: []string{"0"}},
		command{line: "secretref-logdriver status --config etc/logs.toml", want: []string{"LAST ERROR"}},
	)
	if err != nil {
		return err
	}
	var missing, twice int
	err = h.await(ctx, "all lines at the collector", func() (bool, error) {
		var err error
		missing, twice, err = l.compare()
		return missing == 0, err
	})
	if err != nil {
		return err
	}
	h.out.say("lines written: %d; missing: %d; out of order: none; twice, because their batch was under way: %d", lines, missing, twice)
	return nil
}

// compare looks for every line of the container among the events.
func (l *logs) compare() (missing, twice int, err error) {
	next := 0
	for _, e := range l.collector.Events() {
		var event struct{ Event struct{ Line string } }
		if err := json.Unmarshal([]byte(e.Text), &event); err != nil {
			return 0, 0, err
		}
		n, err := strconv.Atoi(strings.TrimPrefix(event.Event.Line, "line "))
		switch {
		case err != nil:
			return 0, 0, err
		case n == next:
			next++
		case n < next:
			twice++
		default:
			return 0, 0, fmt.Errorf("line %d arrived, and line %d did not before it", n, next)
		}
	}
	return lines - next, twice, nil
}
