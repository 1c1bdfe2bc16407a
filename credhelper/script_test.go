package credhelper_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/shared/fakeaws"
)

var update = flag.Bool("update", false, "write what the programs do into the scripts in testdata")

// TestScripts runs testdata/*.txt: what clients and people see of both programs, as real processes, with AWS in this
// one. testdata/README.md says how to read and write them.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			if !*update {
				t.Parallel()
			}
			runFile(t, file)
		})
	}
}

func runFile(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split("\n"+string(text), "\n== ")
	common := parts[0]
	done := slices.Clone(parts)
	done[0] = strings.TrimPrefix(common, "\n")
	t.Run("cases", func(t *testing.T) {
		for i, part := range parts[1:] {
			name, body, _ := strings.Cut(part, "\n")
			t.Run(name, func(t *testing.T) {
				if !*update {
					t.Parallel()
				}
				s := &script{t: t, options: fakeaws.Options{TLS: strings.HasPrefix(body, "tls\n")}}
				s.play(common)
				s.lines = nil
				s.play(body)
				done[i+1] = name + "\n" + strings.Join(s.lines, "\n")
			})
		}
	})
	if *update && !t.Failed() {
		if err := os.WriteFile(file, []byte(strings.Join(done, "\n== ")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// script is one case of a file.
type script struct {
	t         *testing.T
	w         *world
	options   fakeaws.Options
	everyHost bool // the broken configuration may speak of every registry
	skipOther bool // no look at an unmapped registry, since there is none
	lines     []string
}

// step is one directive with what stands below it.
type step struct {
	verb, rest string
	block      []string // the lines that begin with |
	want       []string // the other indented lines
}

// play carries out the directives in text.
func (s *script) play(text string) {
	s.t.Helper()
	var st *step
	flush := func() {
		if st != nil {
			s.do(st)
		}
		st = nil
	}
	for _, line := range strings.Split(text, "\n") {
		switch {
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#"):
			flush()
			s.lines = append(s.lines, line)
		case strings.HasPrefix(line, "|"):
			st.block = append(st.block, strings.TrimPrefix(strings.TrimPrefix(line, "|"), " "))
			s.lines = append(s.lines, line)
		case strings.HasPrefix(line, "    "):
			st.want = append(st.want, strings.TrimPrefix(line, "    "))
		default:
			flush()
			verb, rest, _ := strings.Cut(line, " ")
			st = &step{verb: verb, rest: rest}
			s.lines = append(s.lines, line)
		}
	}
	flush()
}

// world returns the case's world, which begins with the first directive that needs one.
func (s *script) world() *world {
	if s.w == nil {
		s.w = newWorld(s.t, s.options)
	}
	return s.w
}

// expect compares what came with what stands in the script, and keeps what an update writes there.
func (s *script) expect(what string, want, got []string) {
	s.t.Helper()
	ok := len(want) == len(got)
	for i := range got {
		ok = ok && matches(want[i], got[i])
	}
	if *update && !ok {
		want = got
	}
	for _, l := range want {
		s.lines = append(s.lines, "    "+l)
	}
	if !ok && !*update {
		s.t.Fatalf("%s\ngot:\n    %s\nwant:\n    %s", what, strings.Join(got, "\n    "), strings.Join(want, "\n    "))
	}
}

// matches compares a line, in which «» stands for any text that differs from run to run.
func matches(want, got string) bool {
	return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(want), "«»", ".*") + "$").MatchString(got)
}

func (s *script) do(st *step) {
	s.t.Helper()
	w := s.world()
	rest, block := w.expand(st.rest), w.expand(strings.Join(st.block, "\n"))
	if len(st.block) > 0 {
		block += "\n"
	}
	switch st.verb {
	case "$":
		s.helper(rest, st.want)
	case "until": // the same, again and again until it comes out as expected
		s.until(rest, st.want)
	case "calls":
		s.calls(st)
	case "config":
		w.write("config.toml", block, 0o644, 0)
	case "file":
		s.file(rest, block)
	case "link":
		name, to, _ := strings.Cut(rest, " ")
		s.must(os.Symlink(to, filepath.Join(w.dir, name)))
	case "remove":
		s.must(os.RemoveAll(filepath.Join(w.dir, rest)))
	case "show":
		b, err := os.ReadFile(filepath.Join(w.dir, rest))
		s.must(err)
		s.expect("file "+rest, st.want, strings.Split(strings.TrimSuffix(w.show(string(b)), "\n"), "\n"))
	case "env":
		w.setenv(rest)
	case "unset":
		for _, name := range strings.Fields(rest) {
			delete(w.env, name)
		}
	case "every":
		s.everyHost = true
	case "no":
		s.skipOther = true
	case "tls": // the first line of a case; the server began with it
	default:
		s.cloud(st.verb, rest, block)
	}
}

// cloud carries out what is about AWS.
func (s *script) cloud(verb, rest, block string) {
	s.t.Helper()
	w := s.w
	words := strings.Fields(rest)
	switch verb {
	case "aws":
		seed, err := fakeaws.ReadSeed(strings.NewReader(block))
		s.must(err)
		w.aws.Put(seed)
	case "imds":
		for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_EC2_METADATA_DISABLED"} {
			delete(w.env, name)
		}
		w.setenv(w.aws.EnvironIMDS()...)
		if rest != "" {
			w.aws.SetIMDS(fakeaws.IMDS{Hangs: rest == "hangs", TokenHangs: rest == "token hangs", Disabled: rest == "disabled"})
		}
	case "fault": // KIND [OP]
		w.aws.SetFault(fakeaws.Fault{Kind: fakeaws.FaultKind(words[0]), Op: strings.Join(words[1:], "")})
	case "answer": // STATUS CODE MESSAGE
		status, err := strconv.Atoi(words[0])
		s.must(err)
		_, message, _ := strings.Cut(rest, words[1]+" ")
		if m, err := strconv.Unquote(message); err == nil {
			message = m
		}
		w.aws.SetFault(fakeaws.Fault{Kind: fakeaws.Custom, Status: status, Code: words[1], Message: message})
	case "heal":
		s.must(w.aws.ClearFaults())
	case "stop":
		w.aws.Stop()
	case "deny": // IDENTITY ACTION RESOURCE
		w.aws.Deny(words[0], words[1], words[2])
	case "credentials": // expired or unknown ones, or those of another identity
		s.credentials(words)
	case "rotate":
		w.aws.RotateSecret(words[0], strings.Join(words[1:], " "))
	default:
		s.t.Fatalf("unknown directive %q", verb)
	}
}

func (s *script) credentials(words []string) {
	if words[0] == "unknown" {
		s.w.setenv("AWS_ACCESS_KEY_ID=AKIAI44QH8DHBEXAMPLE")
		return
	}
	life := time.Hour
	if len(words) > 1 && words[1] == "expired" {
		life = -time.Hour
	}
	c := s.w.aws.AddCredentials(words[0], life)
	s.w.setenv("AWS_ACCESS_KEY_ID="+c.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+c.SecretAccessKey, "AWS_SESSION_TOKEN="+c.SessionToken)
}

func (s *script) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// file reads NAME [mode=OCTAL] [uid=NUMBER|user].
func (s *script) file(rest, block string) {
	s.t.Helper()
	words := strings.Fields(rest)
	mode, uid := uint64(0o644), uint64(0)
	for _, w := range words[1:] {
		var err error
		name, value, _ := strings.Cut(w, "=")
		switch {
		case name == "mode":
			mode, err = strconv.ParseUint(value, 8, 32)
		case value == "user":
			uid = uint64(s.w.uid)
		default:
			uid, err = strconv.ParseUint(value, 10, 32)
		}
		s.must(err)
	}
	s.w.write(words[0], block, os.FileMode(mode), uint32(uid))
}

// invocation splits ARGUMENTS < STDIN.
func (s *script) invocation(line string) (args []string, stdin string) {
	s.t.Helper()
	command, stdin, _ := strings.Cut(line, " < ")
	if strings.HasPrefix(stdin, `"`) {
		var err error
		stdin, err = strconv.Unquote(stdin)
		s.must(err)
	}
	return strings.Fields(command), stdin
}

func (s *script) helper(line string, want []string) {
	s.t.Helper()
	args, stdin := s.invocation(line)
	r := s.w.run(nil, stdin, args...)
	s.expect(helper+" "+s.brief(line), want, s.lookAt(r))
	if failure, ok := strings.CutPrefix(render(r), "fails "); ok && args[0] == "get" && !s.skipOther {
		s.otherRegistry(failure)
	}
}

// until is for what time brings about. It gives up before a test would be suspected of hanging.
func (s *script) until(line string, want []string) {
	s.t.Helper()
	args, stdin := s.invocation(line)
	enough := time.After(6 * time.Second)
	for {
		got := s.lookAt(s.w.run(nil, stdin, args...))
		if slices.EqualFunc(want, got, matches) {
			s.expect(line, want, got)
			return
		}
		select {
		case <-enough:
			s.t.Fatalf("%s\ngot to the end:\n    %s\nwant:\n    %s", line, strings.Join(got, "\n    "), strings.Join(want, "\n    "))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// lookAt returns what is to be compared, after a look for what must never be there.
func (s *script) lookAt(r result) []string {
	s.t.Helper()
	rendered := render(r)
	if s.w.canary.In(r.stderr) || s.w.canary.In(r.stdout) && !strings.HasPrefix(rendered, "gives ") {
		s.t.Fatalf("the password is in the output:\n%s", s.w.show(rendered))
	}
	if s.w.login.In(r.stderr) || s.w.login.In(r.stdout) && !strings.HasPrefix(rendered, "gives ") {
		s.t.Fatalf("the user name is in the output:\n%s", s.w.show(rendered))
	}
	return strings.Split(s.brief(s.w.show(rendered)), "\n")
}

// brief shortens what is too long for a page.
func (s *script) brief(text string) string {
	for _, name := range []string{"$HUGE", "$64K"} {
		text = strings.ReplaceAll(text, s.w.show(s.w.expand(name)), name)
		text = strings.ReplaceAll(text, s.w.expand(name), name)
	}
	return text
}

// otherRegistry sees that a failure stays the failure of its registry.
func (s *script) otherRegistry(failure string) {
	s.t.Helper()
	want := "not found"
	if s.everyHost {
		want = "fails " + failure
	}
	if got := render(s.w.get("unmapped.test")); got != want {
		s.t.Fatalf("a registry that the configuration does not speak of, after\n    %s\ngot:\n    %s\nwant:\n    %s", failure, s.w.show(got), want)
	}
}

// render says what came of a run in one of the few forms that the protocol has, and else in full.
func render(r result) string {
	text, oneLine := strings.CutSuffix(r.stdout, "\n")
	oneLine = oneLine && !strings.Contains(text, "\n")
	var c struct{ ServerURL, Username, Secret string }
	switch {
	case r.code == 0 && r.stdout == "" && r.stderr == "":
		return "ok"
	case r.code == 1 && text == "credentials not found in native keychain" && oneLine && r.stderr == "":
		return "not found"
	case r.code == 1 && oneLine && r.stderr == helper+": "+text+"\n":
		return "fails " + text
	case r.code == 0 && oneLine && r.stderr == "" && json.Unmarshal([]byte(text), &c) == nil && c.Secret != "":
		// One object of three strings and nothing else, byte for byte.
		again, _ := json.Marshal(c) // three strings
		if string(again) == text && c.ServerURL == strings.TrimSpace(r.stdin) {
			return "gives " + c.Username + " " + c.Secret
		}
	case r.code == 0 && oneLine && r.stderr == "" && strings.Contains(text, "CredentialProviderResponse"):
		return renderKubelet(text)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "exit %d", r.code)
	for i, out := range []string{r.stdout, r.stderr} {
		for line := range strings.Lines(out) {
			fmt.Fprintf(&b, "\n%d| %s", i+1, strings.TrimSuffix(line, "\n"))
		}
	}
	return b.String()
}

// renderKubelet is render for an answer to the kubelet, which refuses fields that it does not know.
func renderKubelet(text string) string {
	var a struct {
		APIVersion, Kind, CacheKeyType, CacheDuration string
		Auth                                          map[string]struct{ Username, Password string }
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&a); err != nil || a.APIVersion != "credentialprovider.kubelet.k8s.io/v1" || a.CacheKeyType != "Image" || a.CacheDuration != "0s" {
		return fmt.Sprintf("an answer that the kubelet refuses: %v, %s", err, text)
	}
	if len(a.Auth) == 0 {
		return "no credentials"
	}
	var all []string
	for image, c := range a.Auth {
		all = append(all, "gives "+c.Username+" "+c.Password+" for "+image)
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}

// calls compares the calls since the last look: their names after the directive, or more of each in a block.
func (s *script) calls(st *step) {
	s.t.Helper()
	calls := s.w.aws.Calls()
	s.w.aws.ResetCalls()
	if st.rest != "" {
		var got []string
		for _, c := range calls {
			got = append(got, c.Op)
		}
		if len(got) == 0 {
			got = []string{"none"}
		}
		if want := strings.Fields(st.rest); !slices.Equal(want, got) && st.rest != "any" {
			s.t.Fatalf("calls to AWS: %v, want %v", got, want)
		}
		return
	}
	var got []string
	for _, c := range calls {
		got = append(got, strings.Join(strings.Fields(fmt.Sprintf("%s %s by %s: %s %s %s", c.Op, c.Region, c.Identity, strings.Join(c.Resources, " "), c.Stage, c.Session)), " "))
	}
	s.expect("calls to AWS", st.want, strings.Split(s.w.show(strings.Join(got, "\n")), "\n"))
}
