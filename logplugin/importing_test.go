package logplugin

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secretref/secretref/shared/config"
)

// runCommand runs a command as a person would.
func runCommand(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Run(t.Context(), Program{Args: args, Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }, Version: "1"})
	return out.String(), errs.String(), code
}

// What import prints is as in the files, passes check, and shows no value that stood in clear.
func TestImport(t *testing.T) {
	files, err := filepath.Glob("testdata/import/*")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	tasks := 0
	for _, file := range files {
		if strings.HasSuffix(file, ".txt") {
			continue
		}
		if strings.HasSuffix(file, ".json") {
			tasks++
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			all, errs, code := runCommand(t, "import", file)
			if code != 0 || errs != "" {
				t.Errorf("exit %d, %s", code, errs)
			}
			if strings.Contains(all, "REDACTED") {
				t.Errorf("a value in clear is printed:\n%s", all)
			}
			golden := file + ".txt"
			if flag.Lookup("update").Value.String() == "true" {
				if err := os.WriteFile(golden, []byte(all), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if want, err := os.ReadFile(golden); err != nil || string(want) != all {
				t.Errorf("%v; it prints\n%s\nwant\n%s", err, all, want)
			}
			checkImported(t, file)
		})
	}
	if tasks < 10 {
		t.Errorf("%d task definitions, want 10", tasks)
	}
}

// checkImported puts the parts into a configuration, and looks whether check is content with its destinations.
func checkImported(t *testing.T, file string) {
	t.Helper()
	destinations, _, _ := runCommand(t, "import", file, "--part", "destinations")
	registries, _, _ := runCommand(t, "import", file, "--part", "registries")
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(destinations+registries), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(config.Options{OnlyFile: path, EUID: os.Geteuid()})
	if err != nil {
		t.Fatalf("%v in\n%s%s", err, destinations, registries)
	}
	if len(cfg.Logs.Destinations)+len(cfg.Registries) == 0 {
		t.Error("there is neither a destination nor a registry")
	}
	out, errs, _ := runCommand(t, "check", "--config", path, "--state-dir", t.TempDir())
	// No service of AWS answers here: that a reference cannot be read is not the configuration's fault.
	for line := range strings.Lines(out + errs) {
		if strings.HasPrefix(line, "failed") && !strings.Contains(line, "secretOptions.") && !strings.Contains(line, "the router answers") {
			t.Errorf("check: %s", line)
		}
	}
}

func TestImportRefuses(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"nothing known", `{"a": 1}`, "the file is none of these"},
		{"not a document", "\x00{", "neither JSON nor YAML"},
		{"no containers", `{"containerDefinitions": []}`, "not a list of containers"},
		{"options of a wrong kind", `{"logDriver": "splunk", "options": ["h1dden"]}`, "are not an object"},
		{"a secret twice", `{"logDriver": "splunk", "options": {}, "secretOptions": [{"name":"a","valueFrom":"/h1dden"},{"name":"a","valueFrom":"/x"}]}`, `names "a" twice`},
		{"what is not possible here", `{"logDriver": "awsfirelens", "options": {"Name": "stdout"}}`, "1 not moved: app: logDriver awsfirelens: output stdout"},
		{"a value in clear where it cannot be", `{"logDriver": "awsfirelens", "options": {"Name": "datadog", "apikey": "h1dden"}}`, "without encryption"},
		{"ecs.config without registries", "ECS_CLUSTER=h1dden\n", "no ECS_ENGINE_AUTH_DATA"},
		{"ecs.config with broken registries", "ECS_ENGINE_AUTH_TYPE=docker\nECS_ENGINE_AUTH_DATA={h1dden\n", "not a JSON object"},
		{"a function of CloudFormation", "Resources: {T: {Type: 'AWS::ECS::TaskDefinition', Properties: {ContainerDefinitions: [{Name: a, LogConfiguration: {LogDriver: awsfirelens, Options: {Name: datadog, Host: !Sub 'h1dden'}}}]}}}", "resource T: container a: the option Host is a function of CloudFormation; import what `aws ecs describe-task-definition` prints"},
		{"one in JSON", `{"Resources": {"T": {"Type": "AWS::ECS::TaskDefinition", "Properties": {"ContainerDefinitions": [{"LogConfiguration": {"LogDriver": "awsfirelens", "Options": {"Name": {"Ref": "h1dden"}}}}]}}}}`, "container container-1: the option Name is a function"},
		{"one as a reference", "containerDefinitions: [{name: a, logConfiguration: {logDriver: awsfirelens, options: {Name: datadog}, secretOptions: [{Name: apikey, ValueFrom: !Ref h1dden}]}}]", "secretOptions has a function of CloudFormation in ValueFrom"},
		{"one in place of the options", "logDriver: awsfirelens\noptions: !If [h1dden, {Name: http}, {Name: datadog}]", "the options of the log driver are not an object"},
		{"one in place of the log configuration", "containerDefinitions: [{name: a, logConfiguration: !If [h1dden, {}, {}]}]", "logConfiguration is not an object"},
		{"one in place of a credential", "containerDefinitions: [{name: a, image: h1dden.example.com/a, repositoryCredentials: {credentialsParameter: !Ref h1dden}}]", "its credentialsParameter are not both written out"},
		{"a template without tasks", "Resources: {T: {Type: 'AWS::IAM::Role', Properties: {RoleName: h1dden}}}", "no AWS::ECS::TaskDefinition"},
		{"a variable of compose", "services: {app: {logging: {driver: splunk, options: {splunk-url: 'https://${H1:-h1dden}:8088', splunk-token: $T}}}}", "app: compose replaces variables in splunk-token, splunk-url; import what `docker compose config` prints"},
		{"a variable beside a credential", "services: {app: {logging: {driver: splunk, options: {splunk-url: 'https://hec.example.com', splunk-token: $T, tag: '${h1dden}'}}}}", "app: compose replaces variables in tag; import"},
		{"an alias of itself", "a: &a [*a, *a]\nservices: *a", "neither JSON nor YAML"},
		{"long", strings.Repeat(" ", 1<<20+1), "more than 1048576 bytes"},
	} {
		path := filepath.Join(t.TempDir(), "in")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, errs, code := runCommand(t, "import", path)
		if code != 1 || !strings.Contains(errs, c.want) || strings.Contains(out+errs, "h1dden") {
			t.Errorf("%s: exit %d, %s%s, want %q", c.name, code, out, errs, c.want)
		}
	}
	if _, errs, code := runCommand(t, "import", "testdata/import/splunk.json", "--part", "x"); code != 1 || !strings.Contains(errs, "is not a part") {
		t.Errorf("exit %d, %s", code, errs)
	}
	if out, errs, code := runCommand(t, "import", "testdata/import/splunk.json", "--part", "destinations", "--format", "terraform"); code != 1 || !strings.Contains(errs, "the part destinations has one form") || out != "" {
		t.Errorf("exit %d, %s%s", code, out, errs)
	}
	if _, errs, code := runCommand(t, "import"); code != 1 || !strings.Contains(errs, "which file?") {
		t.Errorf("exit %d, %s", code, errs)
	}
}

// unreadable fails to be read.
type unreadable struct{ io.Reader }

func (unreadable) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

// endless never ends, and counts what is read of it.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	return copy(p, bytes.Repeat([]byte(" "), len(p))), nil
}

// import reads standard input as it does a file, no more of it than of one, and says what FILE is where there is none.
func TestImportOfStandardInput(t *testing.T) {
	task, err := os.ReadFile("testdata/import/splunk.json")
	if err != nil {
		t.Fatal(err)
	}
	want, _, _ := runCommand(t, "import", "testdata/import/splunk.json")
	noEnd := &endless{}
	missing := filepath.Join(t.TempDir(), "taskdef.json")
	for _, c := range []struct {
		name, file string
		in         io.Reader
		out, errs  string
		code       int
	}{
		{"a task definition", "-", bytes.NewReader(task), want, "", 0},
		{"nothing", "-", strings.NewReader(""), "", "standard input: ", 1},
		{"an error", "-", unreadable{}, "", "import: io: read/write on closed pipe; give a task definition", 1},
		{"without an end", "-", noEnd, "", "more than 1048576 bytes", 1},
		{"a missing file", missing, nil, "", "import: open " + missing + ": no such file or directory; give a task definition, a template of CloudFormation with one, a compose file, a daemon.json or an ecs.config, or - for standard input", 1},
		{"a directory", filepath.Dir(missing), nil, "", "is a directory; give a task definition", 1},
	} {
		var out, errs bytes.Buffer
		code := Run(t.Context(), Program{Args: []string{"import", c.file}, Stdin: c.in, Stdout: &out, Stderr: &errs})
		if code != c.code || out.String() != c.out || !strings.Contains(errs.String(), c.errs) {
			t.Errorf("%s: exit %d, %s%s, want %d, %s%s", c.name, code, out.String(), errs.String(), c.code, c.out, c.errs)
		}
	}
	if noEnd.read > 4<<20 {
		t.Errorf("%d bytes were read of an input without an end", noEnd.read)
	}
}

// A person who has given no input can interrupt import.
func TestImportIsInterrupted(t *testing.T) {
	in, never := io.Pipe()
	t.Cleanup(func() { _ = never.Close() })
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	var out, errs bytes.Buffer
	code := Run(ctx, Program{Args: []string{"import", "-"}, Stdin: in, Stdout: &out, Stderr: &errs})
	if code != 1 || !strings.Contains(errs.String(), "interrupted before the end of the input") {
		t.Errorf("exit %d, %s%s", code, out.String(), errs.String())
	}
}

const wrongFormat = `"yaml" is not a format of a policy; write one of json, terraform, cloudformation`

// A format or a part that there is not is named, whatever else is wrong.
func TestImportNamesWrongOptions(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "taskdef.json")
	for _, c := range []struct {
		want string
		args []string
	}{
		{wrongFormat, []string{"import", "--format", "yaml"}},
		{wrongFormat, []string{"import", missing, "--format", "yaml"}},
		{wrongFormat, []string{"import", missing, "--part", "policy", "--format", "yaml"}},
		{`"x" is not a part; write one of destinations`, []string{"import", missing, "--part", "x"}},
		{`"x" is not a part; write one of destinations`, []string{"import", "testdata/import/splunk.json", "--part", "x", "--format", "json"}},
	} {
		if out, errs, code := runCommand(t, c.args...); code != 1 || !strings.Contains(errs, c.want) || out != "" {
			t.Errorf("%q: exit %d, %s%s, want %q", c.args, code, out, errs, c.want)
		}
	}
}

func TestIAMPolicy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("[logs.destinations.a]\nlogDriver = \"awsfirelens\"\nName = \"newrelic\"\n\"secretOptions.apiKey\" = \"/prod/nr\"\n")
	for format, want := range map[string]string{"json": `"arn:aws:ssm:*:*:parameter/prod/nr"`, "terraform": `resource "aws_iam_policy"`, "cloudformation": "AWS::IAM::ManagedPolicy"} {
		if out, errs, code := runCommand(t, "iam-policy", "--config", path, "--format", format); code != 0 || !strings.Contains(out, want) || !strings.Contains(out, "ssm:GetParameters") {
			t.Errorf("%s: exit %d, %s%s", format, code, out, errs)
		}
	}
	write("[logs]\nspool_total = \"1GiB\"\n")
	if _, errs, code := runCommand(t, "iam-policy", "--config", path); code != 1 || !strings.Contains(errs, "there is nothing to allow") {
		t.Errorf("exit %d, %s", code, errs)
	}
	for _, text := range []string{"[logs]\n", "[logs\n"} { // there is nothing to allow, and a broken configuration
		write(text)
		if out, errs, code := runCommand(t, "iam-policy", "--config", path, "--format", "yaml"); code != 1 || !strings.Contains(errs, wrongFormat) || out != "" {
			t.Errorf("%q: exit %d, %s%s, want %q", text, code, out, errs, wrongFormat)
		}
	}
	write(fmt.Sprintf("[logs.destinations.a]\nlogDriver = %q\n", "splunk"))
	if _, errs, code := runCommand(t, "iam-policy", "--config", path); code != 1 || !strings.Contains(errs, "splunk-url is required") {
		t.Errorf("exit %d, %s", code, errs)
	}
}
