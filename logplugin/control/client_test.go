package control

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/session"
	"github.com/secretref/secretref/logplugin/spool"
)

// A client reads the answer of this version, and that of the first release, a list.
func TestReport(t *testing.T) {
	for _, tt := range []struct {
		name, answer string
		sessions     int
		attention    []string
		err          string
	}{
		{"object", `{"version":1,"program":"2","attention":["AWS does not answer"],"sessions":[{"session":"0123456789ab"}]}`, 1, []string{"AWS does not answer"}, ""},
		{"object of a later version", `{"version":2,"attention":[],"sessions":[{"session":"0123456789ab","new":{}}],"more":1}`, 1, nil, ""},
		{"list", `[{"session":"0123456789ab","state":"reading","spool":"splice"}]`, 1, nil, ""},
		{"list with a parked session", " [{\"containerName\":\"web\",\"state\":\"parked\",\"lastError\":\"log-opt x\\nis unknown\"}]\n", 1,
			[]string{"1 parked sessions, the first of container web: log-opt x is unknown"}, ""},
		{"empty list", "[]\n", 0, nil, ""},
		{"neither", "<html>", 0, nil, "read the driver's answer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			l, err := Listen(dir)
			if err != nil {
				t.Fatal(err)
			}
			h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, tt.answer) })
			stop := Serve(l, "test", h, Limits{}, slog.New(slog.DiscardHandler))
			t.Cleanup(func() { _ = stop() })
			r, err := NewClient(dir).Report(t.Context())
			if len(r.Sessions) != tt.sessions || strings.Join(r.Attention, "|") != strings.Join(tt.attention, "|") {
				t.Errorf("report %+v, want %d sessions and attention %q", r, tt.sessions, tt.attention)
			}
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q in it", err, tt.err)
			}
		})
	}
}

// Each reason is named once, with the first container that it concerns.
func TestAttention(t *testing.T) {
	got := Attention([]session.Status{
		{ContainerName: "a", State: session.Reading, Mode: spool.Splice},
		{ContainerName: "b", State: session.Reading, Mode: spool.Memory},
		{ContainerName: "c", State: session.Reading, LastError: "HEC code 9"},
		{ContainerName: "d", State: session.Parked, LastError: "no logDriver"},
		{ContainerID: "0123456789abcdef", State: session.Delivering, Mode: spool.Memory, LastError: "connection refused"},
	})
	want := []string{
		"1 parked sessions, the first of container d: no logDriver",
		"2 sessions with an error, the first of container c: HEC code 9",
		"1 sessions in memory, the first of container b: the disk takes no lines",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("Attention() =\n%q, want\n%q", got, want)
	}
}

// Where a driver can have no socket, because the directory is read-only, the error says so.
func TestNoSocketOnReadOnlyDirectory(t *testing.T) {
	dir := t.TempDir()
	client := NewClient(dir)
	asks := func(want string) {
		t.Helper()
		if _, err := client.Report(t.Context()); !errors.Is(err, ErrNoDriver) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	asks("/status.sock; does the service run, and with this state directory?")
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	asks("/status.sock; the directory is read-only, and a driver has no socket there until it is not: make its file system writable")
}

// A driver that begins to listen within a second is waited for. One that does not is missed then, and one that cannot be asked at once.
func TestReportOfStarting(t *testing.T) {
	nobody := NewClient(t.TempDir())
	if _, err := nobody.Report(t.Context()); !errors.Is(err, errNobodyListens) || !errors.Is(err, ErrNoDriver) {
		t.Errorf("where nobody listens: %v", err)
	}
	for _, tt := range []struct {
		name           string
		listens        time.Duration // after that
		before         error
		waited, within time.Duration
		err            error
	}{
		{"it listens", 0, errNobodyListens, 0, 0, nil},
		{"a moment later", startWait / 2, errNobodyListens, startWait / 2, startWait/2 + startPause, nil},
		{"never", time.Hour, errNobodyListens, startWait, startWait, errNobodyListens},
		{"permission denied", time.Hour, ErrNoDriver, 0, 0, ErrNoDriver},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				_, err := askStarting(t.Context(), func() (Report, error) {
					if time.Since(began) < tt.listens {
						return Report{}, tt.before
					}
					return Report{}, nil
				})
				if waited := time.Since(began); !errors.Is(err, tt.err) || waited < tt.waited || waited > tt.within {
					t.Errorf("%v after %v, want %v after %v", err, waited, tt.err, tt.waited)
				}
			})
		})
	}
}
