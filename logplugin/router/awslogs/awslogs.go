package awslogs

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/secretref/secretref/logplugin/awsrouter"
	"github.com/secretref/secretref/logplugin/jsontext"
	"github.com/secretref/secretref/logplugin/router"
)

// Bounds of one request. An event takes more bytes in JSON than CloudWatch Logs counts for it, so that a request of maxBytes of
// JSON is within them.
const (
	maxBytes  = 1 << 20
	maxEvents = 10_000
	maxSpan   = 24*60*60*1000 - 1 // milliseconds from the first event to the last
)

// Router sends batches to the streams of one log group.
type Router struct {
	client *awsrouter.Client
	made   *creations
	idle   sync.Pool
}

var (
	_ router.Router             = (*Router)(nil)
	_ router.Verifier           = (*Router)(nil)
	_ router.CredentialVerifier = (*Router)(nil)
	_ router.Noter              = (*Router)(nil)
)

// Note implements router.Noter.
func (r *Router) Note() string { return r.client.Note() }

// Close implements router.Router.
func (r *Router) Close() error {
	r.client.Close()
	return nil
}

// memory is what one Send works with.
type memory struct {
	events []event
	body   []byte
}

// maxKept bounds the memory that is kept between two calls.
const maxKept = 2 * maxBytes

// sending is one Send.
type sending struct {
	router   *Router
	use      *awsrouter.Use
	settings settings
	memory   *memory
	batch    *router.Batch
	outcomes []router.Outcome
	failed   *router.Error      // the first
	stopped  bool               // nothing more is worth a request
	broken   map[string]bool    // streams that no more is sent to: lines of a stream stay in order
	refused  *awsrouter.Refusal // of records, the last
	idle     *router.Error      // why no more streams are created
	apart    *router.Error      // the last that is about one stream alone, though its class is one of all
	header   http.Header
}

// Send implements router.Router. It makes one request or more for each stream of the batch. One stream's failure does not keep the
// lines of others.
func (r *Router) Send(ctx context.Context, b *router.Batch) error {
	if b.Len() == 0 {
		return nil
	}
	u, failed := r.client.Begin(ctx)
	if failed != nil {
		return failed
	}
	m, _ := r.idle.Get().(*memory)
	if m == nil {
		m = &memory{}
	}
	defer func() {
		if cap(m.body) <= maxKept {
			r.idle.Put(m)
		}
	}()
	s := &sending{router: r, use: u, settings: settingsOf(u.Values), memory: m, batch: b, broken: map[string]bool{}}
	s.outcomes = make([]router.Outcome, b.Len())
	if s.settings.metrics {
		s.header = http.Header{"X-Amzn-Logs-Format": {embeddedMetrics}}
	}
	from := 0
	for _, run := range b.Runs {
		e, ok := run.Encoder.(*Encoder)
		if !ok {
			return &router.Error{Class: router.ClassConfig, Op: "send to " + u.Shown(), Cause: "the batch is of another router", Bad: router.NoRecord}
		}
		s.run(ctx, e.stream, from, run.End)
		from = run.End
	}
	return s.result()
}

// result says what became of the records.
func (s *sending) result() error {
	if !slices.ContainsFunc(s.outcomes, func(o router.Outcome) bool { return o != router.Taken }) {
		return nil
	}
	e := s.failed
	if e == nil {
		e = s.refused.Error
	}
	e.Delivered = slices.IndexFunc(s.outcomes, func(o router.Outcome) bool { return o != router.Taken })
	if e.Delivered == 0 && s.failed != nil && !slices.ContainsFunc(s.outcomes, func(o router.Outcome) bool { return o != router.Again }) {
		return e // about all of them
	}
	e.Outcomes = s.outcomes[e.Delivered:]
	return e
}

// run sends the records from to to-1 to a stream.
func (s *sending) run(ctx context.Context, stream string, from, to int) {
	if s.stopped || s.broken[stream] {
		return
	}
	events := s.memory.events[:0]
	for i := from; i < to; i++ {
		events = appendEvents(events, s.batch, i)
	}
	s.memory.events = events
	for len(events) > 0 {
		n := fit(events)
		refused, failed := s.put(ctx, stream, events[:n])
		if failed != nil {
			s.fail(stream, failed)
			return
		}
		s.settle(events[:n], n == len(events), events, refused)
		events = events[n:]
	}
}

// fail notes why nothing more is sent to a stream, or to any. Those that are there take events while others cannot be created.
func (s *sending) fail(stream string, failed *router.Error) {
	s.broken[stream] = true
	s.stopped = s.stopped || failed != s.apart && (failed.Class == router.ClassRetry || failed.Class == router.ClassCredentials)
	if s.failed == nil || s.stopped {
		s.failed = failed
	}
}

// settle notes what became of the records of a request. One whose other events are in the next request waits for that.
func (s *sending) settle(sent []event, last bool, all []event, refused map[int]bool) {
	for i, e := range sent {
		if !last && i == len(sent)-1 && all[len(sent)].record == e.record {
			return
		}
		if s.outcomes[e.record] == router.Again {
			s.outcomes[e.record] = router.Taken
		}
		if refused[i] {
			s.outcomes[e.record] = router.Discarded
		}
	}
}

// fit returns how many of the events go into one request.
func fit(events []event) int {
	size, first, last := 0, events[0].time, events[0].time
	for i, e := range events {
		first, last = min(first, e.time), max(last, e.time)
		if size += e.end - e.start + 1; i > 0 && (i == maxEvents || size > maxBytes || last-first > maxSpan) {
			return i
		}
	}
	return len(events)
}

// put makes the request with these events, and creates the stream when it is missing. refused has the events, by their place, that
// CloudWatch Logs has not stored for their age.
func (s *sending) put(ctx context.Context, stream string, events []event) (refused map[int]bool, failed *router.Error) {
	order := inOrder(events)
	s.memory.body = appendRequest(s.memory.body[:0], s.settings.group, stream, s.batch.Body, events, order)
	op := "send to log group " + s.settings.group + ", stream " + stream + " (" + s.use.Shown() + ")"
	asked := time.Now()
	a, no := s.use.Call(ctx, op, "PutLogEvents", s.memory.body, s.header)
	if no.Is("ResourceNotFoundException") {
		if failed := s.makes(ctx, stream, asked, no); failed != nil {
			return nil, failed
		}
		if a, no = s.use.Call(ctx, op, "PutLogEvents", s.memory.body, s.header); no.Is("ResourceNotFoundException") {
			no.Error.Class = router.ClassRetry // it was created a moment ago
			s.apart = no.Error
		}
	}
	if no == nil {
		s.router.made.stored(s.key(stream), s.key(""))
	}
	switch {
	case no.Is("DataAlreadyAcceptedException"):
		return nil, nil
	case no != nil && no.Error.Class == router.ClassBadRecords && isAboutName(no.Message):
		no.Error.Class = router.ClassConfig
		return nil, no.Error
	case no != nil:
		return nil, no.Error
	}
	return s.tooOldOrNew(op, &a, len(events), order)
}

// makes creates a stream that is missing. When AWS does not let it, as it creates no more than fifty in a second, none is created for
// the rest of the batch.
func (s *sending) makes(ctx context.Context, stream string, asked time.Time, missing *awsrouter.Refusal) *router.Error {
	if s.apart = s.idle; s.idle != nil {
		return s.idle
	}
	no := s.create(ctx, stream, asked, missing)
	if no == nil {
		return nil
	}
	if c := no.Error.Class; no.Code != "" && (c == router.ClassRetry || c == router.ClassCredentials) {
		s.idle, s.apart = no.Error, no.Error
	}
	return no.Error
}

// isAboutName reports whether a refusal is of the names in a request, which are the same for all of its events.
func isAboutName(message string) bool {
	return strings.Contains(message, "logGroupName") || strings.Contains(message, "logStreamName")
}

// tooOldOrNew reads which of n events were refused for their age.
func (s *sending) tooOldOrNew(op string, a *router.Answer, n int, order []int) (map[int]bool, *router.Error) {
	var answer struct {
		Rejected *struct {
			TooNew  *int `json:"tooNewLogEventStartIndex"`
			TooOld  int  `json:"tooOldLogEventEndIndex"`
			Expired int  `json:"expiredLogEventEndIndex"`
		} `json:"rejectedLogEventsInfo"`
	}
	if err := json.Unmarshal(a.Body, &answer); err != nil && len(a.Body) > 0 {
		return nil, &router.Error{Class: router.ClassConfig, Op: op, Cause: "the answer is not one of CloudWatch Logs", Bad: router.NoRecord, Hint: awsrouter.NotAWS}
	}
	if answer.Rejected == nil {
		return nil, nil
	}
	early, late := min(max(answer.Rejected.TooOld, answer.Rejected.Expired, 0), n), n
	if answer.Rejected.TooNew != nil {
		late = max(min(*answer.Rejected.TooNew, n), early)
	}
	refused := map[int]bool{}
	for i := range n {
		if i >= early && i < late {
			continue
		}
		at := i
		if order != nil {
			at = order[i]
		}
		refused[at] = true
	}
	if len(refused) > 0 {
		s.refused = &awsrouter.Refusal{Error: &router.Error{Class: router.ClassBadRecords, Op: op, Bad: router.NoRecord,
			Cause: fmt.Sprintf("CloudWatch Logs has not stored %d of %d events: they are older than 14 days or than the group keeps them, or more than two hours ahead", len(refused), n),
			Hint:  "compare this host's clock with chronyc tracking"}}
	}
	return refused, nil
}

// inOrder returns the places of events in the order of their times, or nil when they are in it.
func inOrder(events []event) []int {
	if slices.IsSortedFunc(events, func(a, b event) int { return int(min(max(a.time-b.time, -1), 1)) }) {
		return nil
	}
	order := make([]int, len(events))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return int(min(max(events[a].time-events[b].time, -1), 1)) })
	return order
}

// appendRequest appends a request with the events of body in that order.
func appendRequest(dst []byte, group, stream string, body []byte, events []event, order []int) []byte {
	dst = jsontext.AppendString(append(dst, `{"logGroupName":`...), []byte(group))
	dst = jsontext.AppendString(append(dst, `,"logStreamName":`...), []byte(stream))
	dst = append(dst, `,"logEvents":[`...)
	if order == nil && len(events) > 0 { // they lie one behind the other
		dst = append(dst, body[events[0].start:events[len(events)-1].end]...)
	}
	for i, at := range order {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, body[events[at].start:events[at].end]...)
	}
	return append(dst, "]}"...)
}

// Verify implements router.Verifier. It puts no event at all, which CloudWatch Logs refuses only after it has looked at the
// signature and at what the identity may do.
func (r *Router) Verify(ctx context.Context) error {
	u, failed := r.client.Begin(ctx)
	if failed != nil {
		return failed
	}
	s := settingsOf(u.Values)
	body := appendRequest(nil, s.group, streamsOf(u.Values, "check"), nil, nil, nil)
	_, no := u.Call(ctx, "reach log group "+s.group+" ("+u.Shown()+")", "PutLogEvents", body, http.Header{})
	switch {
	case no == nil || no.Error.Class == router.ClassBadRecords && !isAboutName(no.Message):
		return nil
	case no.Is("ResourceNotFoundException") && (s.createGroup || strings.Contains(no.Message, "log stream")):
		return nil
	case no.Is("ResourceNotFoundException"):
		return s.missing("", no).Error
	}
	return no.Error
}

// VerifyCredentials implements router.CredentialVerifier.
func (r *Router) VerifyCredentials(ctx context.Context) error { return r.Verify(ctx) }
