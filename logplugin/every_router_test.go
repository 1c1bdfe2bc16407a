package logplugin

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/control"
	"github.com/secretref/secretref/logplugin/frame"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/session"
	"github.com/secretref/secretref/shared/fakeaws"
)

// Every router, and every output of FireLens, has a row in targets: without one the tests of all routers do not see it.
func TestEveryRouterIsTried(t *testing.T) {
	for _, k := range Routers() {
		names := []string{k.Name}
		if k.Translate != nil {
			names = nil
			for output := range k.Serves {
				names = append(names, k.Name+" "+output)
			}
		}
		for _, name := range names {
			if targets()[name] == nil {
				t.Errorf("%s has no row in targets", name)
			}
		}
	}
}

// everywhere starts the targets of all routers, and a container for each with more options. name is what a container is called.
func (d *driver) everywhere(t *testing.T, more map[string]string) (all map[string]target, name map[string]string, files map[string]*os.File) {
	t.Helper()
	all, name, files = map[string]target{}, map[string]string{}, map[string]*os.File{}
	for i, router := range slices.Sorted(maps.Keys(targets())) {
		x := d.target(t, targets()[router])
		all[router], name[router] = x, fmt.Sprintf("%02d", i)
		options := maps.Clone(x.options)
		maps.Copy(options, more)
		files[router] = d.fifo(t, name[router])
		if a := d.startWith(t, name[router], options); a != `{"Err":""}` {
			t.Fatalf("%s: StartLogging: %s", router, a)
		}
	}
	return all, name, files
}

// check asks the receiver of each router that can be asked, tells a wrong credential from a missing receiver, and sends a line when
// asked to.
func TestCheckRouters(t *testing.T) {
	d := startDriver(t, "")
	for _, name := range slices.Sorted(maps.Keys(targets())) {
		t.Run(name, func(t *testing.T) {
			x := d.target(t, targets()[name])
			check := func(extra ...string) (int, string) { return d.check(t, x, extra...) }
			if code, out := check(); code != 0 || strings.Contains(out, "ok     the router ") != x.asks || !strings.Contains(out, x.url) {
				t.Errorf("check: %d\n%s", code, out)
			}
			if x.lines != nil && len(x.lines(0)) != 0 {
				t.Errorf("check has sent %d lines", len(x.lines(0)))
			}
			if code, out := check("--send"); code != 0 || !strings.Contains(out, "ok     the router takes a line") {
				t.Errorf("check --send: %d\n%s", code, out)
			}
			if x.lines != nil {
				await(t, "a line", func() bool { return len(x.lines(0)) == 1 })
			}
			var extra []string
			if !x.asks {
				extra = []string{"--send"}
			}
			if x.setToken != nil {
				x.setToken("another")
				if code, out := check(extra...); code != 1 || !strings.Contains(out, "failed the router ") || strings.Contains(out, token) {
					t.Errorf("check with a wrong token: %d\n%s", code, out)
				}
				x.setToken(token)
			}
			if x.away != nil {
				x.away(true)
				if code, out := check(extra...); code != 1 || !strings.Contains(out, "failed the router ") {
					t.Errorf("check without a receiver: %d\n%s", code, out)
				}
			}
		})
	}
}

// check has the options of x checked.
func (d *driver) check(t *testing.T, x target, extra ...string) (int, string) {
	t.Helper()
	args := append([]string{"check"}, extra...)
	for name, value := range x.options {
		args = append(args, "--log-opt", name+"="+value)
	}
	return d.run(t, args...)
}

// A container whose router has an address starts only where allow_routers has it, and the refusal names the address. check says the same before
// there is a container.
func TestRoutersThatMaySend(t *testing.T) {
	d := startDriver(t, "allow_routers = []\n")
	all := map[string]target{}
	urls := []string{"arn:aws:logs:*:*:log-group:new", "arn:aws:firehose:*:*:deliverystream/s", "arn:aws:kinesis:*:*:stream/s", "arn:aws:s3:::logs"}
	for i, router := range slices.Sorted(maps.Keys(targets())) {
		x := d.target(t, targets()[router])
		all[fmt.Sprintf("%02d", i)] = x
		if x.url != "" {
			urls = append(urls, x.url)
		}
	}
	try := func(may bool) {
		for name, x := range all {
			d.fifo(t, name)
			says := "allow_routers in [logs] says where they may"
			a := d.startWith(t, name, x.options)
			if refused := a != `{"Err":""}`; refused != (x.url != "" && !may) || refused != strings.Contains(a, says) || refused && !strings.Contains(a, x.url) && !strings.Contains(a, "arn:aws:") {
				t.Errorf("%s, which may send: %v: %s", x.name, may, a)
			}
			if code, out := d.check(t, x); (code != 0) != (x.url != "" && !may) || (code != 0) != strings.Contains(out, says) {
				t.Errorf("check of %s, which may send: %v: %d\n%s", x.name, may, code, out)
			}
		}
	}
	try(false)
	none, err := os.ReadFile(d.args[1])
	if err != nil {
		t.Fatal(err)
	}
	set := func(text string) {
		t.Helper()
		if err := os.WriteFile(d.args[1], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		d.reread(t)
	}
	set(strings.Replace(string(none), "allow_routers = []", "allow_routers = [\""+strings.Join(urls, `", "`)+"\"]", 1))
	for name := range all {
		_ = os.Remove(filepath.Join(d.dir, name)) // of null, which was not refused
	}
	try(true)
	hidden := d.byReference(t, all)
	set(string(none))
	for name, x := range all {
		if x.url == "" {
			continue
		}
		await(t, "a word about "+x.name, func() bool { return strings.Contains(d.sessionOf(t, name).LastError, "containers may not send there") })
		if s := d.sessionOf(t, name); !strings.Contains(s.LastError, x.url) && !strings.Contains(s.LastError, "arn:aws:") {
			t.Errorf("%s: the error %q does not name %s", x.name, s.LastError, x.url)
		}
		if hidden[name] != nil {
			put(t, hidden[name], time.Now(), "a line")
			await(t, "a word about the address of "+x.name, func() bool { return d.sessionOf(t, "r"+name).LastError != "" })
			if s := d.sessionOf(t, "r"+name); !strings.Contains(s.LastError, "gives by reference: containers may not send there") || strings.Contains(s.LastError, x.url) {
				t.Errorf("%s: the error %q shows %s, or does not say what is refused", x.name, s.LastError, x.url)
			}
		}
	}
}

// byReference starts a container for each of the targets whose address is one option, with that by reference. Its name is that of the target's
// container, behind an r.
func (d *driver) byReference(t *testing.T, all map[string]target) map[string]*os.File {
	t.Helper()
	files := map[string]*os.File{}
	for name, x := range all {
		options := maps.Clone(x.options)
		if x.url == "" || strings.Contains(options["logDriver"], "awsfirelens") || !hasAddress(kindOf(t, options["logDriver"]), options) {
			continue
		}
		for _, o := range kindOf(t, options["logDriver"]).Options {
			if value, given := options[o.Name]; given && o.Address {
				delete(options, o.Name)
				options["secretOptions."+o.Name] = d.aws.PutSecret(fakeaws.Secret{Name: "logs/address-" + name, String: value})
			}
		}
		files[name] = d.fifo(t, "r"+name)
		if a := d.startWith(t, "r"+name, options); a != `{"Err":""}` {
			t.Errorf("%s by reference: %s", x.name, a)
		}
	}
	return files
}

// hasAddress reports whether one option is the whole address.
func hasAddress(k router.Kind, options map[string]string) bool {
	n := 0
	for _, o := range k.Options {
		if _, given := options[o.Name]; given && o.Address {
			n++
		}
	}
	return n == 1
}

// The metrics and both forms of status name the router and the address of each session, and count its lines. When the receivers are away they
// say so of each, with the address.
func TestStatusOfRouters(t *testing.T) {
	d := startDriver(t, "")
	all, name, files := d.everywhere(t, nil)
	for _, f := range files {
		put(t, f, time.Now(), "a line")
	}
	of := func(router string) session.Status { return d.sessionOf(t, name[router]) }
	for router := range all {
		await(t, "the line of "+router, func() bool { return of(router).SentLines == 1 })
	}
	code, table := d.run(t, "status")
	text, err := control.NewClient(d.state()).Metrics(t.Context())
	if code != 0 || err != nil {
		t.Fatalf("status: %d, %v\n%s", code, err, table)
	}
	for router, x := range all {
		s := of(router)
		row := regexp.MustCompile(`(?m)^\S+ +` + name[router] + ` .*$`).FindString(table)
		labels := `address="` + s.Address + `"`
		for what, ok := range map[string]bool{
			"status --json": strings.Contains(s.Address, x.url) && s.Router != "" && s.State == session.Reading && s.WaitingBytes == 0 && s.LastError == "",
			"status":        strings.Contains(row, s.Router+" "+s.Address),
			"metrics":       regexp.MustCompile(`secretref_log_lines_total\{` + regexp.QuoteMeta(labels) + `,outcome="sent",router="` + s.Router + `"\} [1-9]`).MatchString(text),
		} {
			if !ok {
				t.Errorf("%s of %s: %+v\n%s", what, router, s, row)
			}
		}
	}
	for router, x := range all {
		if x.away != nil {
			x.away(true)
			put(t, files[router], time.Now(), "a line that waits")
		}
	}
	for router, x := range all {
		if x.away == nil {
			continue
		}
		await(t, "a word about the receiver of "+router, func() bool { return of(router).LastError != "" })
		if s := of(router); !strings.Contains(s.LastError, strings.TrimPrefix(x.url, "tcp://")) || s.WaitingBytes == 0 {
			t.Errorf("%s: %q with %d bytes waiting, want an error about %s", router, s.LastError, s.WaitingBytes, x.url)
		}
	}
	if code, _ := d.run(t, "status"); code != exitAttention {
		t.Errorf("status: %d, want %d", code, exitAttention)
	}
}

// sessionOf is that of the container, zero while there is none.
func (d *driver) sessionOf(t *testing.T, container string) (of session.Status) {
	t.Helper()
	for _, s := range d.sessions(t) {
		if s.ContainerName == container {
			of = s
		}
	}
	return of
}

// put writes lines as the daemon does, at times that differ by a nanosecond.
func put(t *testing.T, f *os.File, at time.Time, lines ...string) {
	t.Helper()
	for i, line := range lines {
		if _, err := f.Write(frame.AppendFrame(nil, &frame.Entry{Source: []byte("stdout"), TimeNano: at.UnixNano() + int64(i), Line: []byte(line)})); err != nil {
			t.Fatal(err)
		}
	}
}

// fileOption matches the names of the options that take a file: certificates, and the keys to them.
var fileOption = regexp.MustCompile(`(-ca-cert|-capath|(-client|-tls)-(cert|key))$`)

// An option that takes a file takes none outside of allow_files, whatever the router. Every router that can leave a certificate unverified has such
// options.
func TestFilesOfRouters(t *testing.T) {
	d := startDriver(t, "")
	const outside = "/outside/x.pem"
	for _, name := range slices.Sorted(maps.Keys(targets())) {
		x := d.target(t, targets()[name])
		k := kindOf(t, x.options["logDriver"])
		groups := [][]string{{"tls.ca_file"}, {"tls.crt_file", "tls.key_file"}}
		if k.Translate == nil {
			groups = filesOf(k)
			if slices.ContainsFunc(k.Options, func(o router.Option) bool { return o.SkipsVerify }) != (len(groups) >= 2) {
				t.Errorf("%s has the options %q for files", name, groups)
			}
		}
		for _, group := range groups {
			options := maps.Clone(x.options)
			if k.Translate != nil && x.url != "" {
				options["tls"] = "on"
				if options["Mode"] != "" {
					options["Mode"] = "tls"
				}
			}
			for _, o := range group {
				options[o] = outside
			}
			a := d.startWith(t, "none", options)
			unsupported := k.Translate != nil && strings.Contains(a, group[0]+" is not supported")
			if !unsupported && !(strings.Contains(a, outside) && strings.Contains(a, "allow_files")) && x.url != "" {
				t.Errorf("%s with %q: %s, want a refusal that names allow_files", name, group, a)
			}
		}
	}
}

// filesOf returns the options of k that take a file, a certificate together with its key.
func filesOf(k router.Kind) (groups [][]string) {
	for _, o := range k.Options {
		name, isKey := strings.CutSuffix(o.Name, "-key")
		switch i := slices.IndexFunc(groups, func(g []string) bool { return g[0] == name+"-cert" }); {
		case !fileOption.MatchString(o.Name):
		case isKey && i >= 0:
			groups[i] = append(groups[i], o.Name)
		default:
			groups = append(groups, []string{o.Name})
		}
	}
	return groups
}

func kindOf(t *testing.T, name string) router.Kind {
	t.Helper()
	all := Routers()
	i := slices.IndexFunc(all, func(k router.Kind) bool { return k.Name == name })
	if i < 0 {
		t.Fatalf("there is no router %s", name)
	}
	return all[i]
}

// Lines that belong together arrive as one event, whatever the router: one record, in which the lines are still apart. A receiver of lines alone has
// them one after the other.
func TestEventsOfRouters(t *testing.T) {
	d := startDriver(t, "")
	all, name, files := d.everywhere(t, map[string]string{"multiline-pattern": "^first"})
	for _, f := range files {
		put(t, f, time.Now(), "first 1", "  at a", "  at b", "first 2", "first 3", "  at c", "first 4")
	}
	events := []string{"first 1\n  at a\n  at b", "first 2", "first 3\n  at c"}
	for router, x := range all {
		want := events
		if x.apart {
			want = strings.Split(strings.Join(events, "\n"), "\n")
		}
		await(t, "the events of "+router, func() bool {
			return x.lines == nil && d.sessionOf(t, name[router]).SentLines >= int64(len(want)) || x.lines != nil && len(x.lines(0)) >= len(want)
		})
		if x.lines == nil {
			continue
		}
		got := x.lines(0)[:len(want)] // behind them is the last event, if it has waited for its end for too long
		for i := range got {
			got[i] = strings.ReplaceAll(got[i], "#012", "\n") // as syslog writes it
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", router, got, want)
		}
	}
}
