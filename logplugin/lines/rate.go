package lines

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/secretref/secretref/logplugin/frame"
	"github.com/secretref/secretref/shared/size"
)

// What becomes of lines that are over the rate.
const (
	modeKeep = "keep" // they wait in the spool
	modeDrop = "drop" // they are not sent, and a record says how many
)

// Limits of a rate.
const (
	maxLineRate = 1_000_000_000
	minByteRate = 1 << 10
	maxByteRate = 1 << 40
)

// rate is how much is sent in each second. The zero value does not limit.
type rate struct {
	limit int64
	bytes bool // limit is bytes, and not lines
	drop  bool
	text  string // as it was written
}

// parseRate reads max-rate and max-rate-mode.
func parseRate(text, mode string) (rate, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		if mode != "" {
			return rate{}, fmt.Errorf("log-opt %s is given without %s; give both", MaxRateMode, MaxRate)
		}
		return rate{}, nil
	}
	r := rate{text: text, drop: mode == modeDrop}
	if mode != "" && mode != modeDrop && mode != modeKeep {
		return rate{}, fmt.Errorf("log-opt %s is %q; write %s or %s", MaxRateMode, mode, modeKeep, modeDrop)
	}
	number := strings.TrimSuffix(text, "/s")
	n, err := strconv.ParseUint(number, 10, 63)
	if r.bytes = errors.Is(err, strconv.ErrSyntax); r.bytes {
		r.limit, err = size.Parse(number)
		if err == nil && (r.limit < minByteRate || r.limit > maxByteRate) {
			return rate{}, fmt.Errorf("log-opt %s is %q, which is not between 1 KiB and 1 TiB a second", MaxRate, text)
		}
	} else if r.limit = int64(n); r.limit < 1 || r.limit > maxLineRate { //nolint:gosec // it has 63 bits
		return rate{}, fmt.Errorf("log-opt %s is %q, which is not between 1 and %d lines a second", MaxRate, text, maxLineRate)
	}
	if err != nil {
		return rate{}, fmt.Errorf("log-opt %s is %q; write lines a second as in 1000, or bytes a second as in 1MiB/s", MaxRate, text)
	}
	return r, nil
}

// limiter holds the lines of one session to a rate. When they are dropped, each second of the daemon's time has the limit, so that a
// backlog loses nothing that would have passed when it was written. When they are kept, each second of delivery has it.
type limiter struct {
	rate
	emit func(*frame.Entry)

	second int64     // that used belongs to, since 1970; of dropping
	began  time.Time // of the second; of keeping
	used   int64     // what has passed in this second, and what was too much in those before
	full   bool      // of dropping: nothing more passes in this second

	missing missing
}

// missing is a run of lines that were left out, of which no record has been made yet.
type missing struct {
	lines int64
	pos   int64     // of the first
	floor int64     // a cursor between here and pos would be inside an event or a line of the other stream
	time  int64     // of the first, as the daemon says
	since time.Time // when the first was left out
}

// disorder is by how many seconds the time of a line may be before that of another that came earlier. By more, the clock was set back.
const disorder = 60

// reportAfter is how long a record waits for a line that it can stand in front of.
const reportAfter = time.Second

func (l *limiter) cost(e *frame.Entry) int64 {
	switch {
	case l.bytes:
		return int64(len(e.Line))
	case e.Partial && e.Ordinal > 1:
		return 0
	}
	return 1
}

// take reports whether e may be sent, and counts it. The other pieces of a line whose first piece was sent may not be held back:
// first is false for them.
func (l *limiter) take(e *frame.Entry, first bool) bool {
	cost := l.cost(e)
	if !l.drop || !first {
		l.used += cost
		return true
	}
	// Of two streams, or of events, a line may come after one that is a little younger.
	if second := e.TimeNano / int64(time.Second); second > l.second || second < l.second-disorder {
		l.pass(second - l.second)
		l.second, l.full = second, false
	}
	if l.full = l.full || l.used >= l.limit || l.used > 0 && l.used+cost > l.limit; l.full {
		if l.missing.lines == 0 {
			l.missing = missing{pos: e.Pos, floor: e.Floor, time: e.TimeNano, since: time.Now()}
		}
		l.missing.lines++
		return false
	}
	l.used += cost
	return true
}

// pass lets seconds pass. When the clock was set back it begins anew.
func (l *limiter) pass(seconds int64) {
	if seconds < 0 || seconds > l.used/l.limit {
		l.used = 0
		return
	}
	l.used -= seconds * l.limit
}

// hasRoom reports whether lines may be sent now: while they may not, those that come are kept.
func (l *limiter) hasRoom() bool {
	if l.drop || l.limit == 0 {
		return true
	}
	now := time.Now()
	if seconds := int64(now.Sub(l.began) / time.Second); l.began.IsZero() || seconds > l.used/l.limit {
		l.used, l.began = 0, now
	} else {
		l.pass(seconds)
		l.began = l.began.Add(time.Duration(seconds) * time.Second)
	}
	return l.used < l.limit
}

// deadline returns when there is room again, or a record is due.
func (l *limiter) deadline() (at time.Time, ok bool) {
	switch {
	case l.missing.lines > 0:
		return l.missing.since.Add(reportAfter), true
	case !l.drop && l.limit > 0 && l.used >= l.limit:
		return l.began.Add(time.Duration(l.used/l.limit) * time.Second), true
	}
	return at, false
}

// report puts one record where lines are missing, and returns how many.
func (l *limiter) report() int64 {
	m := l.missing
	if m.lines == 0 {
		return 0
	}
	l.missing = missing{}
	text := "secretref: " + strconv.FormatInt(m.lines, 10) + " lines are missing here: the container wrote more than " + MaxRate + "=" + l.text + " allows"
	l.emit(&frame.Entry{Source: []byte("stderr"), TimeNano: m.time, Line: []byte(text), Pos: -m.pos})
	return m.lines
}
