package logplugin

import (
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/datadog"
	"github.com/secretref/secretref/logplugin/router/elasticsearch"
	"github.com/secretref/secretref/logplugin/router/firelens"
	"github.com/secretref/secretref/logplugin/router/fluentd"
	"github.com/secretref/secretref/logplugin/router/gelf"
	"github.com/secretref/secretref/logplugin/router/http"
	"github.com/secretref/secretref/logplugin/router/loki"
	"github.com/secretref/secretref/logplugin/router/newrelic"
	"github.com/secretref/secretref/logplugin/router/null"
	"github.com/secretref/secretref/logplugin/router/otlp"
	"github.com/secretref/secretref/logplugin/router/splunk"
	"github.com/secretref/secretref/logplugin/router/syslog"
)

// Routers is the list of log routers. Nothing registers itself: a new one gets a line here.
func Routers() []router.Kind {
	return []router.Kind{
		splunk.Kind(),
		fluentd.Kind(),
		loki.Kind(),
		otlp.Kind(),
		datadog.Kind(),
		newrelic.Kind(),
		http.Kind(),
		elasticsearch.Kind(),
		syslog.Kind(),
		gelf.Kind(),
		null.Kind(),
		firelens.Kind(),
	}
}
