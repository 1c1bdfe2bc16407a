package awstest

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"
	"unicode/utf8"
)

// What CloudWatch Logs takes.
const (
	MaxLogBytes  = 1 << 20
	MaxLogEvents = 10_000
	MaxLogEvent  = 1<<20 - 26
	LogAge       = 14 * 24 * time.Hour
)

// LogEvent is one event that was stored.
type LogEvent struct {
	Time    int64 // milliseconds since 1970
	Message string
}

// Logs is CloudWatch Logs.
type Logs struct {
	*Server

	mu      sync.Mutex
	streams map[string]map[string][]LogEvent // by group and stream
	all     []LogEvent                       // in the order in which they were stored
	created []string                         // names of groups, and GROUP:STREAM, of each call to create one
	reject  func(message string) bool
	now     func() time.Time // for the age of events

	classes   map[string]string // of groups that were created
	retention map[string]int    // likewise, in days
	tags      map[string]map[string]string
}

// StartLogs starts it, with these groups.
func StartLogs(groups ...string) *Logs {
	l := &Logs{streams: map[string]map[string][]LogEvent{}, now: time.Now, classes: map[string]string{}, retention: map[string]int{}, tags: map[string]map[string]string{}}
	for _, g := range groups {
		l.streams[g] = map[string][]LogEvent{}
	}
	l.Server = start("Logs_20140328.", l.call)
	return l
}

// Make creates a stream of a group that is there.
func (l *Logs) Make(group, stream string) {
	l.mu.Lock()
	l.streams[group][stream] = nil
	l.mu.Unlock()
}

// SetReject makes it refuse requests that hold such a message.
func (l *Logs) SetReject(reject func(message string) bool) {
	l.mu.Lock()
	l.reject = reject
	l.mu.Unlock()
}

// SetNow makes it judge the age of events by another time.
func (l *Logs) SetNow(now time.Time) {
	l.mu.Lock()
	l.now = func() time.Time { return now }
	l.mu.Unlock()
}

// Stream returns the events of a stream, and whether it is there.
func (l *Logs) Stream(group, stream string) ([]LogEvent, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	events, ok := l.streams[group][stream]
	return slices.Clone(events), ok
}

// Messages returns all messages, in the order in which they were stored.
func (l *Logs) Messages() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []string
	for _, e := range l.all {
		list = append(list, e.Message)
	}
	return list
}

// Group returns the class and the retention, in days, with which a group was created.
func (l *Logs) Group(name string) (class string, retention int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.classes[name], l.retention[name]
}

// Tags returns the tags with which a group was created.
func (l *Logs) Tags(name string) map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tags[name]
}

// Created returns what it was called to create and could, whether it was there already or not: the names of groups, and GROUP:STREAM.
func (l *Logs) Created() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.created)
}

// Drop removes a stream, or with "" the whole group.
func (l *Logs) Drop(group, stream string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if stream == "" {
		delete(l.streams, group)
	}
	delete(l.streams[group], stream)
}

type logsRequest struct {
	Group  string `json:"logGroupName"`
	Stream string `json:"logStreamName"`
	Class  string `json:"logGroupClass"`
	Days   int    `json:"retentionInDays"`
	Tags   map[string]string
	Events []struct {
		Time    *int64  `json:"timestamp"`
		Message *string `json:"message"`
	} `json:"logEvents"`
}

func (l *Logs) call(operation string, body []byte) Answer {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.behind != "" {
		return l.forward(operation, body)
	}
	var r logsRequest
	if !utf8.Valid(body) || json.Unmarshal(body, &r) != nil {
		return Answer{Code: "SerializationException", Message: "it is not JSON"}
	}
	group, ok := l.streams[r.Group]
	switch operation {
	case "CreateLogGroup":
		l.created = append(l.created, r.Group)
		if ok {
			return Answer{Code: "ResourceAlreadyExistsException", Message: "The specified log group already exists"}
		}
		l.streams[r.Group], l.classes[r.Group], l.tags[r.Group] = map[string][]LogEvent{}, r.Class, r.Tags
		return Answer{}
	case "CreateLogStream":
		if ok {
			l.created = append(l.created, r.Group+":"+r.Stream)
		}
		if _, there := group[r.Stream]; there {
			return Answer{Code: "ResourceAlreadyExistsException", Message: "The specified log stream already exists"}
		}
		if !ok {
			return missing("group")
		}
		group[r.Stream] = nil
		return Answer{}
	case "PutRetentionPolicy":
		if !ok {
			return missing("group")
		}
		l.retention[r.Group] = r.Days
		return Answer{}
	case "PutLogEvents":
		return l.put(r)
	}
	return Answer{Code: "UnknownOperationException"}
}

func missing(what string) Answer {
	return Answer{Code: "ResourceNotFoundException", Message: "The specified log " + what + " does not exist."}
}

func (l *Logs) put(r logsRequest) Answer {
	invalid := func(format string, args ...any) Answer {
		return Answer{Code: "InvalidParameterException", Message: fmt.Sprintf(format, args...)}
	}
	if len(r.Events) < 1 || len(r.Events) > MaxLogEvents {
		return invalid("1 validation error detected: Value at 'logEvents' failed to satisfy constraint: Member must have length between 1 and %d", MaxLogEvents)
	}
	group, ok := l.streams[r.Group]
	if !ok {
		return missing("group")
	}
	stored, ok := group[r.Stream]
	if !ok {
		return missing("stream")
	}
	size, now := 0, l.now()
	before, old, recent := int64(-1<<62), 0, len(r.Events)
	for i, e := range r.Events {
		switch {
		case e.Time == nil || e.Message == nil || *e.Message == "" || len(*e.Message) > MaxLogEvent:
			return invalid("event %d is not one", i)
		case *e.Time < before:
			return invalid("Log events in a single PutLogEvents request must be in chronological order.")
		case *e.Time-*r.Events[0].Time >= (24 * time.Hour).Milliseconds():
			return invalid("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
		case l.reject != nil && l.reject(*e.Message):
			return invalid("event %d is refused", i)
		}
		before = *e.Time
		size += len(*e.Message) + 26
		at := time.UnixMilli(*e.Time)
		if at.Before(now.Add(-LogAge)) {
			old = i + 1
		}
		if at.After(now.Add(2*time.Hour)) && recent == len(r.Events) {
			recent = i
		}
	}
	if size > MaxLogBytes {
		return invalid("Upload too large: %d bytes exceeds limit of %d", size, MaxLogBytes)
	}
	for _, e := range r.Events[old:recent] {
		stored = append(stored, LogEvent{*e.Time, *e.Message})
		l.all = append(l.all, LogEvent{*e.Time, *e.Message})
	}
	group[r.Stream] = stored
	if old > 0 || recent < len(r.Events) {
		info := map[string]int{"tooOldLogEventEndIndex": old}
		if recent < len(r.Events) {
			info["tooNewLogEventStartIndex"] = recent
		}
		return Answer{Body: map[string]any{"rejectedLogEventsInfo": info}}
	}
	return Answer{Body: map[string]string{"nextSequenceToken": "x"}}
}
