package recipes

// documents is a test that does what the pages say on a Debian of its own, with the daemon and systemd, and with receivers at the names
// of the pages.
const (
	packages  = "packaging/packages"
	documents = "TestDocuments"
)

// Proofs say of every recipe what runs it. Where several are of one page, the first whose First fits holds.
var Proofs = []Proof{
	{Page: "README.md", First: "make demo", Test: "TestDemo", In: "packaging/demo", Instead: `"./packaging/demo"`}, // make test is what runs these tests
	{Page: "README.md", Test: "TestReadme", In: packages},

	{Page: "install.md", First: "apt install", Test: documents, In: packages},
	{Page: "install.md", First: "docker-credential-secretref configure docker --undo", Test: documents, In: packages},
	{Page: "install.md", Test: "TestLife", In: packages},
	{Page: "ami.md", Test: "TestProvision", In: "packaging/ami", Instead: `"./provision *.deb registry.toml own.crt"`},
	{Page: "release.md", First: "make release", Test: "TestRelease", In: "packaging/release", Instead: `"./build"`},
	{Page: "release.md", First: "gpg", Why: "it needs the key of the person who publishes"},
	{Page: "release.md", First: "sha256sum", Test: "TestRelease", In: "packaging/release", Instead: `"sha256sum", "--check"`},
	{Page: "release.md", Test: documents, In: packages},
	{Page: "plugin.md", Test: documents, In: packages},
	{Page: "without-secretref.md", First: "systemctl restart secretref-logdriver.socket", Test: documents, In: packages},
	{Page: "without-secretref.md", Test: "TestWithoutSecretref", In: "packaging/docs"},

	{Page: "registries.md", First: "aws", Why: "it needs an AWS account"},
	{Page: "registries.md", First: "docker-credential-secretref configure docker    #", Test: documents, In: packages},
	{Page: "registries.md", Test: "TestReadme", In: packages},
	{Page: "docker-credential-secretref.1", First: "docker-credential-secretref configure podman", Test: "TestClients", In: "credhelper/integration", Instead: `helper, "configure", "podman", "--all"`},
	{Page: "docker-credential-secretref.1", Test: documents, In: packages},

	{Page: "secrets-as-files.md", Test: documents, In: packages},
	{Page: "secrets-as-variables.md", Test: documents, In: packages},
	{Page: "swarm.md", Test: documents, In: packages},

	{Page: "cloudwatch-logs.md", Test: documents, In: packages},
	{Page: "datadog.md", Test: documents, In: packages},
	{Page: "elasticsearch.md", Test: documents, In: packages},
	{Page: "firehose.md", Test: documents, In: packages},
	{Page: "firelens.md", Test: documents, In: packages},
	{Page: "fluentd.md", Test: documents, In: packages},
	{Page: "from-loki-plugin.md", Test: documents, In: packages},
	{Page: "gelf.md", Test: documents, In: packages},
	{Page: "http.md", Test: documents, In: packages},
	{Page: "kinesis.md", Test: documents, In: packages},
	{Page: "logs.md", Test: documents, In: packages},
	{Page: "newrelic.md", Test: documents, In: packages},
	{Page: "otlp.md", Test: documents, In: packages},
	{Page: "s3.md", Test: documents, In: packages},
	{Page: "splunk.md", Test: documents, In: packages},
	{Page: "syslog.md", Test: documents, In: packages},
	{Page: "secretref-logdriver.1", Test: documents, In: packages},
	{Page: "logdna.md", Test: documents, In: packages},
	{Page: "tcp.md", Test: documents, In: packages},
	{Page: "runbook.md", Test: documents, In: packages},
	{Page: "performance.md", Test: "TestBench", In: "logplugin/bench", Instead: `run(t.Context(), []string{"-lines", "2000"`},
}
