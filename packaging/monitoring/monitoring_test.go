// Package monitoring_test holds the alert rules and the dashboard to the metrics that the log driver has.
package monitoring_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metricsql"
	"go.yaml.in/yaml/v3"

	"github.com/secretref/secretref/logplugin/metrics"
)

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fromScrape are the labels that Prometheus gives to every metric of a target.
var fromScrape = []string{"instance", "job"}

// labelsOf returns the labels that the result of an expression has. It reports an error for each metric and each label
// that the log driver does not have.
func labelsOf(t *testing.T, where, expr string) []string {
	t.Helper()
	tree, err := metricsql.Parse(strings.NewReplacer("$__rate_interval", "5m", "$instance", "host").Replace(expr))
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return nil
	}
	var all []string
	metricsql.VisitAll(tree, func(e metricsql.Expr) {
		m, ok := e.(*metricsql.MetricExpr)
		if !ok {
			return
		}
		for _, filters := range m.LabelFilterss {
			name := filters[0].Value // of __name__
			has, known := metrics.Labels()[name]
			if !known {
				t.Errorf("%s: there is no metric %s", where, name)
				continue
			}
			all = slices.Concat(all, has, fromScrape)
			for _, f := range filters[1:] {
				if !slices.Contains(slices.Concat(has, fromScrape), f.Label) {
					t.Errorf("%s: %s has no label %s", where, name, f.Label)
				}
			}
		}
	})
	var kept []string // by the outermost aggregation
	metricsql.VisitAll(tree, func(e metricsql.Expr) {
		a, ok := e.(*metricsql.AggrFuncExpr)
		if !ok {
			return
		}
		for _, label := range a.Modifier.Args {
			if !slices.Contains(all, label) {
				t.Errorf("%s: no metric in %q has the label %s", where, expr, label)
			}
		}
		kept = a.Modifier.Args
		all = kept
	})
	return all
}

// legend are the labels that a text for people shows.
func legend(text, pattern string) (labels []string) {
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		labels = append(labels, m[1])
	}
	return labels
}

type alert struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

func alerts(t *testing.T) (all []alert) {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []alert
		}
	}
	if err := yaml.Unmarshal(read(t, "alerts.yaml"), &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) < 10 {
		t.Fatalf("%d alerts, want 10 and more", len(all))
	}
	return all
}

func TestAlerts(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range alerts(t) {
		if seen[a.Alert] || !strings.HasPrefix(a.Alert, "Secretref") {
			t.Errorf("alert %q: the name stands twice or does not begin with Secretref", a.Alert)
		}
		seen[a.Alert] = true
		if s := a.Labels["severity"]; s != "page" && s != "ticket" {
			t.Errorf("%s: severity %q", a.Alert, s)
		}
		if a.Annotations["summary"] == "" || a.Annotations["description"] == "" {
			t.Errorf("%s: it lacks a summary or a description", a.Alert)
		}
		has := labelsOf(t, a.Alert, a.Expr)
		for _, label := range legend(a.Annotations["summary"]+a.Annotations["description"], `\$labels\.(\w+)`) {
			if !slices.Contains(has, label) {
				t.Errorf("%s: the texts show the label %s, and the expression has %q", a.Alert, label, has)
			}
		}
	}
}

// Every alert has a row in the runbook, and no other has.
func TestAlertsAreInTheRunbook(t *testing.T) {
	rows := legend(string(read(t, "../docs/runbook.md")), "(?m)^\\| `(Secretref[A-Za-z]+)` \\|")
	var names []string
	for _, a := range alerts(t) {
		names = append(names, a.Alert)
	}
	if !slices.Equal(rows, names) {
		t.Errorf("the runbook has\n%q\nwant, as alerts.yaml,\n%q", rows, names)
	}
}

func TestDashboard(t *testing.T) {
	var board struct {
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ H, W, X, Y int }
			Targets []struct{ Expr, LegendFormat string }
		}
		Templating struct {
			List []struct{ Name, Query string }
		}
	}
	if err := json.Unmarshal(read(t, "dashboard.json"), &board); err != nil {
		t.Fatal(err)
	}
	if len(board.Panels) < 10 {
		t.Errorf("%d panels, want 10 and more", len(board.Panels))
	}
	ids := map[int]bool{}
	for _, p := range board.Panels {
		if ids[p.ID] || len(p.Targets) == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %q: the id stands twice, it shows nothing, or it is too wide", p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			has := labelsOf(t, p.Title, target.Expr)
			for _, label := range legend(target.LegendFormat, `\{\{(\w+)\}\}`) {
				if !slices.Contains(has, label) {
					t.Errorf("%s: the legend shows the label %s, and the expression has %q", p.Title, label, has)
				}
			}
		}
	}
	for _, v := range board.Templating.List {
		if m := regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`).FindStringSubmatch(v.Query); m != nil {
			if _, ok := metrics.Labels()[m[1]]; !ok || !slices.Contains(fromScrape, m[2]) {
				t.Errorf("variable %s: %s", v.Name, v.Query)
			}
		}
	}
}
