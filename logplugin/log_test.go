package logplugin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestLog(t *testing.T) {
	for _, tt := range []struct {
		name    string
		level   slog.Level
		format  logFormat
		journal bool
		want    []string // of records of level debug, info, warn and error; "" = not written
	}{
		{"text", slog.LevelInfo, logText, false, []string{"", "level=INFO msg=m container=c name=n", "level=WARN msg=m container=c name=n", "level=ERROR msg=m container=c name=n"}},
		{"default", slog.LevelWarn, "", false, []string{"", "", "level=WARN", "level=ERROR"}},
		{"json", slog.LevelDebug, logJSON, false, []string{`"level":"DEBUG"`, `"level":"INFO","msg":"m","container":"c","name":"n"`, `"level":"WARN"`, `"level":"ERROR"`}},
		{"journal", slog.LevelDebug, logText, true, []string{"<7>msg=m container=c name=n\n", "<6>msg=m", "<4>msg=m", "<3>msg=m"}},
		{"journal, json", slog.LevelError, logJSON, true, []string{"", "", "", `<3>{"msg":"m","container":"c","name":"n"}` + "\n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for i, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
				var out bytes.Buffer
				slog.New(newHandler(&out, tt.level, tt.format, tt.journal)).With("container", "c").Log(t.Context(), level, "m", "name", "n")
				got := out.String()
				if !strings.Contains(got, tt.want[i]) || (got == "") != (tt.want[i] == "") || strings.Count(got, "\n") > 1 {
					t.Errorf("%v: %q, want %q in it", level, got, tt.want[i])
				}
				if got != "" && tt.format == logJSON && !json.Valid([]byte(strings.TrimLeft(got, "<3>"))) {
					t.Errorf("%v: not JSON: %q", level, got)
				}
			}
		})
	}
}

// A log is journald's when JOURNAL_STREAM names the very file, and not when standard error was led elsewhere.
func TestIsJournal(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(w.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	mine := fmt.Sprintf("%d:%d", st.Dev, st.Ino)
	for stream, want := range map[string]bool{mine: true, "": false, mine + "1": false, "x": false} {
		if got := isJournal(stream, w); got != want {
			t.Errorf("isJournal(%q) = %v, want %v", stream, got, want)
		}
	}
	if isJournal(mine, &bytes.Buffer{}) {
		t.Error("a buffer is journald")
	}
}
