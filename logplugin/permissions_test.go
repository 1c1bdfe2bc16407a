package logplugin

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/awsrouter/awstest"
	"github.com/secretref/secretref/logplugin/references"
)

// receivers are the services that lines are sent to.
type receivers map[string]*awstest.Server

// policyRows are log options, without an endpoint, and what of them the policy names.
var policyRows = []struct {
	name    string
	options map[string]string
	policy  string // action and resource behind the account, one a line
}{
	{"a stream by default", map[string]string{"logDriver": "awslogs", "awslogs-group": "/app/web"},
		"logs:CreateLogStream log-group:/app/web:log-stream:*\nlogs:PutLogEvents log-group:/app/web:log-stream:*"},
	{"a named stream that is there", map[string]string{"logDriver": "awslogs", "awslogs-group": "/app/web", "awslogs-stream": "there", "awslogs-create-stream": "false"},
		"logs:PutLogEvents log-group:/app/web:log-stream:there"},
	{"a group that is made", map[string]string{"logDriver": "awslogs", "awslogs-group": "/app/{{.Name}}", "awslogs-create-group": "true", "awslogs-stream-prefix": "prod"},
		"logs:CreateLogGroup log-group:/app/*\nlogs:CreateLogGroup log-group:/app/*:*\nlogs:CreateLogStream log-group:/app/*:log-stream:prod/*\nlogs:PutLogEvents log-group:/app/*:log-stream:prod/*"},
	{"a group that is made and keeps lines for some days", map[string]string{"logDriver": "awslogs", "awslogs-group": "new", "awslogs-create-group": "true", "awslogs-retention-days": "7", "awslogs-stream": "s"},
		"logs:CreateLogGroup log-group:new\nlogs:CreateLogGroup log-group:new:*\nlogs:CreateLogStream log-group:new:log-stream:s\nlogs:PutLogEvents log-group:new:log-stream:s\n" +
			"logs:PutRetentionPolicy log-group:new\nlogs:PutRetentionPolicy log-group:new:*"},
	{"a group that is made with tags", map[string]string{"logDriver": "awslogs", "awslogs-group": "new", "awslogs-create-group": "true", "awslogs-group-tags": "team=blue", "awslogs-stream": "s"},
		"logs:CreateLogGroup log-group:new\nlogs:CreateLogGroup log-group:new:*\nlogs:CreateLogStream log-group:new:log-stream:s\nlogs:PutLogEvents log-group:new:log-stream:s\n" +
			"logs:TagResource log-group:new\nlogs:TagResource log-group:new:*"},
	{"firehose", map[string]string{"logDriver": "firehose", "firehose-stream": "s"}, "firehose:PutRecordBatch deliverystream/s"},
	{"kinesis", map[string]string{"logDriver": "kinesis", "kinesis-stream": "s", "kinesis-partition-key": "{{.Name}}"}, "kinesis:PutRecords stream/s"},
	{"s3", map[string]string{"logDriver": "s3", "s3-bucket": "logs"}, "s3:PutObject logs/*"},
	{"s3 of FireLens", map[string]string{"logDriver": "awsfirelens", "Name": "s3", "region": "eu-west-1", "bucket": "logs"}, "s3:PutObject logs/*"},
	{"cloudwatch_logs of FireLens", map[string]string{"logDriver": "awsfirelens", "Name": "cloudwatch_logs", "region": "eu-west-1", "log_group_name": "/ecs/$(ecs_cluster)/web", "log_stream_prefix": "a-", "auto_create_group": "true"},
		"logs:CreateLogGroup log-group:/ecs/*/web\nlogs:CreateLogGroup log-group:/ecs/*/web:*\nlogs:CreateLogStream log-group:/ecs/*/web:log-stream:*\nlogs:PutLogEvents log-group:/ecs/*/web:log-stream:*"},
	{"kinesis_streams of FireLens", map[string]string{"logDriver": "awsfirelens", "Name": "kinesis_streams", "region": "eu-west-1", "stream": "s"}, "kinesis:PutRecords stream/s"},
}

// statements runs iam-policy, and returns what it allows by action.
func statements(t *testing.T, args ...string) map[string][]string {
	t.Helper()
	out, errs, code := runCommand(t, append([]string{"iam-policy"}, args...)...)
	if code != 0 {
		t.Fatalf("iam-policy: exit %d, %s", code, errs)
	}
	var policy struct {
		Statement []struct {
			Effect, Action string
			Resource       []string
		}
	}
	if err := json.Unmarshal([]byte(out), &policy); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	all := map[string][]string{}
	for _, s := range policy.Statement {
		if s.Effect != "Allow" {
			t.Errorf("%+v, want Allow", s)
		}
		all[s.Action] = append(all[s.Action], s.Resource...)
	}
	return all
}

// The policy for a container's options allows what the driver then does, and names nothing that it does not do.
func TestPolicyIsWhatIsCalled(t *testing.T) {
	awstest.NewHome(t)
	config := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(config, []byte("[aws]\nregion = \"eu-west-1\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range policyRows {
		t.Run(row.name, func(t *testing.T) {
			logs, firehose, kinesis := awstest.StartLogs("/app/web"), awstest.StartFirehose("s"), awstest.StartKinesis("s")
			objects := awstest.StartS3("logs")
			logs.Make("/app/web", "there")
			at := receivers{"awslogs": logs.Server, "firehose": firehose.Server, "kinesis": kinesis.Server, "cloudwatch_logs": logs.Server, "kinesis_streams": kinesis.Server, "s3": objects.Server}
			var args []string
			for _, name := range slices.Sorted(maps.Keys(row.options)) {
				args = append(args, "--log-opt", name+"="+row.options[name])
			}
			allowed := statements(t, append([]string{"--config", config}, args...)...)
			var lines []string
			for action, resources := range allowed {
				for _, r := range resources {
					lines = append(lines, action+" "+strings.SplitN(r, ":", 6)[5])
				}
			}
			slices.Sort(lines)
			if got := strings.Join(lines, "\n"); got != row.policy {
				t.Errorf("the policy allows\n%s\nwant\n%s", got, row.policy)
			}
			name := row.options["logDriver"]
			endpoint := name + "-endpoint="
			if name == "awsfirelens" {
				name, endpoint = row.options["Name"], "endpoint="
			}
			server := at[name]
			for _, s := range []*awstest.Server{logs.Server, firehose.Server, kinesis.Server, objects.Server} {
				t.Cleanup(s.Close)
			}
			run := append([]string{"check", "--send", "--config", config, "--state-dir", t.TempDir(), "--log-opt", endpoint + server.URL()}, args...)
			if out, errs, _ := runCommand(t, run...); !strings.Contains(out, "ok     the router takes a line") {
				t.Fatalf("%s%s", out, errs)
			}
			used := map[string]bool{}
			for _, u := range server.Used() {
				used[u.Action] = true
				if !slices.ContainsFunc(allowed[u.Action], func(r string) bool { return references.Match(r, u.Resource, "") }) {
					t.Errorf("%s is done on %s, and the policy allows it on %q", u.Action, u.Resource, allowed[u.Action])
				}
			}
			for action := range allowed {
				if !used[action] {
					t.Errorf("the policy allows %s, which is not done", action)
				}
			}
		})
	}
}

// Roles, references and what is not known.
func TestPolicyOfDestinations(t *testing.T) {
	awstest.NewHome(t)
	path := filepath.Join(t.TempDir(), "config.toml")
	text := `[accounts."444455556666"]
role_arn = "arn:aws:iam::444455556666:role/secret-reader"
[logs.destinations.cw]
logDriver = "awslogs"
awslogs-group = "app"
awslogs-region = "cn-north-1"
awslogs-role-arn = "arn:aws-cn:iam::777788889999:role/logs"
[logs.destinations.hec]
logDriver = "splunk"
splunk-url = "https://hec.example.com:8088"
"secretOptions.splunk-token" = "arn:aws:secretsmanager:eu-west-1:444455556666:secret:hec-AbCdEf"
[logs.destinations.stream]
logDriver = "kinesis"
"secretOptions.kinesis-stream" = "/prod/stream"
`
	for name, options := range map[string]string{
		"es": `"elasticsearch"
elasticsearch-aws-region = "eu-west-1"`, "role": `"elasticsearch"
elasticsearch-aws-service = "aoss"
elasticsearch-aws-role-arn = "arn:aws:iam::444455556666:role/search"`, "put": `"http"
http-aws-service = "es"
http-method = "PUT"`, "lambda": `"http"
http-aws-service = "lambda"`,
	} {
		router, _, _ := strings.Cut(options[1:], `"`)
		text += "[logs.destinations.sign-" + name + "]\n" + router + "-url = \"https://h.example.com\"\n" + router + "-aws-auth = \"true\"\nlogDriver = " + options + "\n"
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got := statements(t, "--config", path)
	for action, want := range map[string][]string{
		"logs:PutLogEvents":             {"arn:aws-cn:logs:cn-north-1:777788889999:log-group:app:log-stream:*"},
		"sts:AssumeRole":                {"arn:aws-cn:iam::777788889999:role/logs", "arn:aws:iam::444455556666:role/search", "arn:aws:iam::444455556666:role/secret-reader"},
		"es:ESHttpPost":                 {"arn:aws:es:eu-west-1:*:domain/*"},
		"es:ESHttpPut":                  {"arn:aws:es:*:*:domain/*"},
		"aoss:APIAccessAll":             {"arn:aws:aoss:*:444455556666:collection/*"},
		"kinesis:PutRecords":            {"arn:aws:kinesis:*:*:stream/*"},
		"secretsmanager:GetSecretValue": {"arn:aws:secretsmanager:eu-west-1:444455556666:secret:hec-AbCdEf"},
		"ssm:GetParameters":             {"arn:aws:ssm:*:*:parameter/prod/stream"},
		"logs:CreateLogGroup":           nil,
	} {
		if !slices.Equal(got[action], want) {
			t.Errorf("%s on %q, want %q", action, got[action], want)
		}
	}
	_, errs, _ := runCommand(t, "iam-policy", "--config", path)
	for _, want := range []string{"lines are sent as arn:aws-cn:iam::777788889999:role/logs", "references are read as arn:aws:iam::444455556666:role/secret-reader"} {
		if !strings.Contains(errs, want) {
			t.Errorf("%q, want %q in it", errs, want)
		}
	}
	if _, errs, code := runCommand(t, "iam-policy", "--config", path, "--log-opt", "logDriver=awslogs"); code != 1 || !strings.Contains(errs, "awslogs-group is required") {
		t.Errorf("exit %d, %s", code, errs)
	}
}
