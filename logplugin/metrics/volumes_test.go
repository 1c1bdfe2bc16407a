package metrics

import (
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/secretref/secretref/logplugin/session"
	"github.com/secretref/secretref/logplugin/spool"
	"github.com/secretref/secretref/logplugin/volume"
)

// quiet is a driver without a session.
type quiet struct{}

func (quiet) Status() []session.Status           { return nil }
func (quiet) Tallies() ([]session.Tally, uint64) { return nil, 0 }
func (quiet) Store() spool.StoreStats            { return spool.StoreStats{} }
func (quiet) StateFailures() int64               { return 0 }
func (quiet) Broken() bool                       { return false }
func (quiet) Attention() []string                { return nil }

// volumesOf are volumes with this status.
type volumesOf []volume.Status

func (v volumesOf) Status() []volume.Status  { return v }
func (volumesOf) Space() (free, size uint64) { return 60 << 20, 64 << 20 }

func scrape(t *testing.T, o Options) string {
	t.Helper()
	o.Sessions, o.Health, o.Resolves, o.Log = quiet{}, quiet{}, &Resolves{}, slog.New(slog.DiscardHandler)
	w := httptest.NewRecorder()
	Handler(o).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	b, err := io.ReadAll(w.Body)
	if err != nil || w.Code != 200 {
		t.Fatalf("status %d, %v", w.Code, err)
	}
	return string(b)
}

// Volumes are counted by what matters, and have metrics of their own unless that is switched off.
func TestVolumes(t *testing.T) {
	all := volumesOf{
		{Name: "app", Mounted: true, Waiting: 2, Written: time.Unix(1000, 0), Checked: time.Unix(2000, 0), Versions: map[string]string{"db": "v-1"}},
		{Name: "late", Mounted: true, Missing: []string{"a", "b"}, LastError: "AWS does not answer", FailingFor: 90 * time.Second},
		{Name: "unused"},
	}
	total := []string{
		`secretref_volumes{failing="false",mounted="true"} 1`, `secretref_volumes{failing="true",mounted="true"} 1`,
		`secretref_volumes{failing="false",mounted="false"} 1`, `secretref_volumes{failing="true",mounted="false"} 0`,
		`secretref_volume_waiting_containers 2`, `secretref_volume_space_bytes 6.7108864e+07`, `secretref_volume_space_free_bytes 6.291456e+07`,
	}
	each := []string{
		`secretref_volume_missing_files{volume="app"} 0`, `secretref_volume_missing_files{volume="late"} 2`,
		`secretref_volume_failing_seconds{volume="late"} 90`, `secretref_volume_failing_seconds{volume="app"} 0`,
		`secretref_volume_changed_timestamp_seconds{volume="app"} 1000`, `secretref_volume_read_timestamp_seconds{volume="app"} 2000`,
		`secretref_volume_version_info{file="db",version="v-1",volume="app"} 1`,
	}
	for _, c := range []struct {
		name     string
		volumes  Volumes
		each     bool
		has, not []string
	}{
		{"all", all, true, append(total, each...), nil},
		{"totals", all, false, total, []string{`volume="`}},
		{"none", nil, true, nil, []string{"secretref_volume"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := scrape(t, Options{Volumes: c.volumes, PerContainer: func() bool { return c.each }})
			for _, want := range c.has {
				if !strings.Contains(text, "\n"+want+"\n") {
					t.Errorf("no %q in\n%s", want, text)
				}
			}
			for _, unwanted := range c.not {
				if strings.Contains(text, unwanted) {
					t.Errorf("%q in\n%s", unwanted, text)
				}
			}
			if problems, err := promlint.New(strings.NewReader(text)).Lint(); err != nil || len(problems) > 0 {
				t.Errorf("promlint: %v, %v", problems, err)
			}
			if len(c.has) > len(total) {
				for name := range Labels() {
					if strings.HasPrefix(name, "secretref_volume") && !strings.Contains(text, "\n# TYPE "+name+" ") {
						t.Errorf("no %s", name)
					}
				}
			}
		})
	}
}
