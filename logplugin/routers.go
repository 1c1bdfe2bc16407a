package logplugin

import (
	"github.com/secretref/secretref/logplugin/awsrouter"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/awslogs"
	"github.com/secretref/secretref/logplugin/router/datadog"
	"github.com/secretref/secretref/logplugin/router/elasticsearch"
	"github.com/secretref/secretref/logplugin/router/firehose"
	"github.com/secretref/secretref/logplugin/router/firelens"
	"github.com/secretref/secretref/logplugin/router/fluentd"
	"github.com/secretref/secretref/logplugin/router/gelf"
	"github.com/secretref/secretref/logplugin/router/http"
	"github.com/secretref/secretref/logplugin/router/kinesis"
	"github.com/secretref/secretref/logplugin/router/logdna"
	"github.com/secretref/secretref/logplugin/router/loki"
	"github.com/secretref/secretref/logplugin/router/newrelic"
	"github.com/secretref/secretref/logplugin/router/null"
	"github.com/secretref/secretref/logplugin/router/otlp"
	"github.com/secretref/secretref/logplugin/router/s3"
	"github.com/secretref/secretref/logplugin/router/splunk"
	"github.com/secretref/secretref/logplugin/router/syslog"
	"github.com/secretref/secretref/logplugin/router/tcp"
	"github.com/secretref/secretref/shared/awsconf"
)

// Routers returns all log routers, for those who only look at what they are.
func Routers() []router.Kind { return RoutersOf(nil) }

// RoutersOf is the list of log routers. Nothing registers itself: a new one gets a line here. Those to services of AWS reach it as
// session says.
func RoutersOf(session *awsconf.Session) []router.Kind {
	aws := awsrouter.NewHost(session)
	signed := func(k router.Kind, service string) router.Kind {
		k.Permissions = aws.Signed(k.Name, service)
		return k
	}
	return []router.Kind{
		splunk.Kind(),
		fluentd.Kind(),
		awslogs.Kind(aws),
		firehose.Kind(aws),
		kinesis.Kind(aws),
		s3.Kind(aws),
		loki.Kind(),
		otlp.Kind(),
		datadog.Kind(),
		newrelic.Kind(),
		logdna.Kind(),
		signed(http.Kind(aws.Signer), ""),
		signed(elasticsearch.Kind(aws.Signer), "es"),
		syslog.Kind(),
		gelf.Kind(),
		tcp.Kind(),
		null.Kind(),
		firelens.Kind(),
	}
}
