package monitoring_test

import (
	"regexp"
	"testing"

	"github.com/secretref/secretref/logplugin/metrics"
)

// notShown are the metrics that neither an alert nor a panel uses, with the reason.
var notShown = map[string]string{
	"secretref_log_last_success_timestamp_seconds": "the age of the oldest line says the same, and is 0 for a destination that has nothing to send",
	"secretref_log_container_lines_total":          "of a container: only with metrics_per_container",
	"secretref_log_container_waiting_bytes":        "of a container: only with metrics_per_container",
	"secretref_log_container_waiting_seconds":      "of a container: only with metrics_per_container",
	"secretref_volume_missing_files":               "of a volume: only with metrics_per_container",
	"secretref_volume_failing_seconds":             "of a volume: only with metrics_per_container",
	"secretref_volume_changed_timestamp_seconds":   "of a volume: only with metrics_per_container",
	"secretref_volume_read_timestamp_seconds":      "of a volume: only with metrics_per_container",
	"secretref_volume_version_info":                "of a volume: only with metrics_per_container",
}

// Every metric of the log driver is used by an alert or a panel, or notShown says why not.
func TestEveryMetricIsUsed(t *testing.T) {
	used := string(read(t, "alerts.yaml")) + string(read(t, "dashboard.json"))
	for name := range metrics.Labels() {
		shown := regexp.MustCompile(name + `\b`).MatchString(used)
		if _, declared := notShown[name]; shown == declared {
			t.Errorf("%s: used by an alert or a panel: %v, in notShown: %v, want one of them", name, shown, declared)
		}
	}
	for name := range notShown {
		if _, ok := metrics.Labels()[name]; !ok {
			t.Errorf("notShown has %s, and there is no such metric", name)
		}
	}
}
