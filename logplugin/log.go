package logplugin

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"golang.org/x/sys/unix"
)

// logFormat is how serve writes its log.
type logFormat string

// The formats.
const (
	logText logFormat = "text"
	logJSON logFormat = "json"
)

// UnmarshalText is for package flag.
func (f *logFormat) UnmarshalText(text []byte) error {
	switch v := logFormat(text); v {
	case logText, logJSON:
		*f = v
		return nil
	}
	return fmt.Errorf("it is %q and not text or json", text)
}

// MarshalText is for package flag.
func (f logFormat) MarshalText() ([]byte, error) { return []byte(f), nil }

// newLog returns the log of serve.
func (p Program) newLog(f flags) *slog.Logger {
	return slog.New(newHandler(p.Stderr, f.logLevel, f.logFormat, isJournal(p.Getenv("JOURNAL_STREAM"), p.Stderr)))
}

// isJournal reports whether w is the connection to journald that stream, the value of JOURNAL_STREAM, names by its device
// and inode, see systemd.exec(5).
func isJournal(stream string, w io.Writer) bool {
	f, ok := w.(interface{ Fd() uintptr })
	if !ok || stream == "" {
		return false
	}
	var st unix.Stat_t
	return unix.Fstat(int(f.Fd()), &st) == nil && stream == fmt.Sprintf("%d:%d", st.Dev, st.Ino) //nolint:gosec // a file descriptor
}

// newHandler writes records in a format. For journald each begins with its priority, see sd-daemon(3), and the time is
// left to journald.
func newHandler(w io.Writer, level slog.Level, format logFormat, journal bool) slog.Handler {
	o := &slog.HandlerOptions{Level: level}
	if journal {
		o.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
				return slog.Attr{}
			}
			return a
		}
	}
	of := func(w io.Writer) slog.Handler {
		if format == logJSON {
			return slog.NewJSONHandler(w, o)
		}
		return slog.NewTextHandler(w, o)
	}
	if !journal {
		return of(w)
	}
	var h prioritized
	for i, priority := range priorities {
		h[i] = of(prefixed{w, fmt.Sprintf("<%d>", priority.syslog)})
	}
	return h
}

// priorities are those of syslog for each level and what is above, the lowest first.
var priorities = [...]struct {
	from   slog.Level
	syslog int
}{{slog.LevelDebug, 7}, {slog.LevelInfo, 6}, {slog.LevelWarn, 4}, {slog.LevelError, 3}}

// prioritized is a handler for each of priorities.
type prioritized [len(priorities)]slog.Handler

func (h prioritized) of(level slog.Level) slog.Handler {
	found := h[0]
	for i, p := range priorities {
		if level >= p.from {
			found = h[i]
		}
	}
	return found
}

// Enabled reports whether records of the level are written.
func (h prioritized) Enabled(ctx context.Context, level slog.Level) bool {
	return h.of(level).Enabled(ctx, level)
}

// Handle writes a record.
func (h prioritized) Handle(ctx context.Context, r slog.Record) error {
	return h.of(r.Level).Handle(ctx, r)
}

// WithAttrs returns a handler that adds attrs.
func (h prioritized) WithAttrs(attrs []slog.Attr) slog.Handler {
	for i := range h {
		h[i] = h[i].WithAttrs(attrs)
	}
	return h
}

// WithGroup returns a handler that opens a group.
func (h prioritized) WithGroup(name string) slog.Handler {
	for i := range h {
		h[i] = h[i].WithGroup(name)
	}
	return h
}

// prefixed writes a prefix before each record. A record is one Write.
type prefixed struct {
	w      io.Writer
	prefix string
}

func (p prefixed) Write(record []byte) (int, error) {
	if _, err := p.w.Write(append([]byte(p.prefix), record...)); err != nil {
		return 0, err
	}
	return len(record), nil
}
