package session

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/secretref/secretref/logplugin/spool"
)

// State is how far a session is.
type State string

// The states.
const (
	Reading    State = "reading"    // its FIFO is read
	Stopping   State = "stopping"   // as before, and the daemon has said that it will close it
	Delivering State = "delivering" // the FIFO has ended, and the remaining lines are being delivered
	Parked     State = "parked"     // it is read and kept, and cannot be sent: LastError says why
)

// Status is one line of `secretref-logdriver status`, and one object of its JSON (reason: a key of it is a field here).
type Status struct {
	Session       string        `json:"session"` // for `forget`; 12 hexadecimal digits
	ContainerID   string        `json:"containerId"`
	ContainerName string        `json:"containerName"` // without the slash
	Router        string        `json:"logDriver"`
	Address       string        `json:"address,omitempty"` // "" = a reference gives it
	Destination   string        `json:"destination,omitempty"`
	NotVerified   bool          `json:"notVerified,omitempty"` // the receiver's certificate is not, because an option says so
	State         State         `json:"state"`
	Mode          spool.Mode    `json:"spool"`
	Started       time.Time     `json:"started"`
	LastLine      time.Time     `json:"lastLine,omitzero"` // about when bytes came last; zero = none since the driver began
	WaitingBytes  int64         `json:"waitingBytes"`
	WaitingFor    time.Duration `json:"waitingNanoseconds"` // the oldest of them
	SentLines     int64         `json:"sentLines"`          // taken by the router, since the driver began
	RejectedLines int64         `json:"rejectedLines"`      // never to be taken by the router, since the driver began
	DroppedLines  int64         `json:"droppedLines"`       // for lack of space, since the session began
	FilteredLines int64         `json:"filteredLines"`      // left out by include-pattern and exclude-pattern, since the driver began
	LimitedLines  int64         `json:"limitedLines"`       // left out by max-rate, since the driver began
	LastError     string        `json:"lastError,omitempty"`
	Note          string        `json:"note,omitempty"` // what a person should know though lines are delivered
}

// IsWell reports whether the session needs no person: its lines are sent, or will be without help.
func (s Status) IsWell() bool {
	return s.State != Parked && s.Mode != spool.Memory && s.LastError == ""
}

// Status returns the sessions, oldest first.
func (s *Sessions) Status() []Status {
	all := []Status{} // in JSON a list, also without elements
	for _, x := range s.sessions() {
		all = append(all, x.status())
	}
	return all
}

func (s *Sessions) sessions() []*session {
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.byFile))
	s.mu.Unlock()
	slices.SortFunc(all, func(a, b *session) int {
		switch {
		case a.meta.Before(b.meta):
			return -1
		case b.meta.Before(a.meta):
			return 1
		}
		return 0
	})
	return all
}

// Store returns the state of all spools together.
func (s *Sessions) Store() spool.StoreStats { return s.store.Stats() }

func (s *session) id() string { return sessionID(s.meta.File) }

func (s *session) target() target { return target{s.meta.Options.Router, s.meta.Options.Address} }

func (s *session) status() Status {
	st := s.spool.Stats()
	x := Status{
		Session: s.id(), ContainerID: s.meta.ContainerID, ContainerName: strings.TrimPrefix(s.meta.ContainerName, "/"),
		Router: s.meta.Options.Router, Address: s.meta.Options.Address, Destination: s.meta.Options.Destination,
		NotVerified: len(s.table.admission.rules.Unverified(s.meta.Options)) > 0, Mode: st.Mode, Started: s.meta.Started, LastLine: st.Last,
		WaitingBytes: st.End - st.Committed, WaitingFor: st.Age(s.table.now()),
		SentLines: s.feed.count.sent.Load(), RejectedLines: s.feed.count.rejected.Load(), DroppedLines: st.DroppedLines, FilteredLines: s.feed.count.filtered.Load(), LimitedLines: s.feed.count.limited.Load(),
	}
	d, unread := s.output.destination(), s.input.failure()
	x.LastError = s.output.problem()
	switch {
	case d == nil && x.LastError != "": // before its first try it has none
		x.State = Parked
	case s.drained.Load():
		x.State = Delivering
	case s.stopping.Load():
		x.State = Stopping
	default:
		x.State = Reading
	}
	if d != nil {
		x.LastError, x.Note = cmp.Or(d.failure(), s.hangs(d), x.LastError, d.problemBefore()), d.note()
	}
	if x.Note == "" && x.WaitingBytes > 0 && s.feed.count.held.Load() {
		x.Note = "the container writes more than its max-rate allows: the other lines wait in the spool"
	}
	if x.LastError == "" && x.WaitingBytes > 0 && s.table.attaching.holds(s) {
		x.LastError = fmt.Sprintf("its lines wait for at most %v, because older ones may come first: %v", s.table.pauses.hold, s.table.attaching.err())
	}
	if unread != nil {
		x.LastError = "its log cannot be read: " + unread.Error()
	}
	if x.LastError == "" && st.Err != nil {
		x.LastError = st.Err.Error()
	}
	return x
}

// hangs returns for what the session's lines wait that has not failed yet; "" = for nothing.
func (s *session) hangs(d *destination) string {
	waits := d.inFlight()
	if waits <= slowRequest {
		return ""
	}
	if aws := s.table.admission.asker.Unanswered(); aws > slowRequest && len(s.meta.Options.References) > 0 {
		var refs []string
		for _, name := range slices.Sorted(maps.Keys(s.meta.Options.References)) {
			refs = append(refs, s.meta.Options.References[name].String())
		}
		return fmt.Sprintf("AWS has not answered for %v; the router needs %s", aws.Round(time.Second), strings.Join(refs, ", "))
	}
	return fmt.Sprintf("a request to the router has had no answer for %v", waits.Round(time.Second))
}

// QuietFor is how long a session must have been silent to be forgotten without force.
const QuietFor = time.Minute

// Forgetting says what is to become of a session that is forgotten.
type Forgetting struct {
	Discard bool // of what has not been delivered, nothing is sent any more
	Force   bool // also a session that has had lines a moment ago
}

// Forget ends a session whose FIFO does not end by itself: the daemon leaks it when the driver was away at the wrong
// moment. id is the beginning of Status.Session, at least four digits of it. The rest of the lines is delivered, unless
// it is discarded. A container that still runs is not read any more, and will hang: so one that has had lines a moment
// ago is left alone.
func (s *Sessions) Forget(id string, how Forgetting) (Status, error) {
	var found []*session
	for _, x := range s.sessions() {
		if len(id) >= 4 && strings.HasPrefix(x.id(), id) {
			found = append(found, x)
		}
	}
	switch {
	case len(found) == 0:
		return Status{}, fmt.Errorf("there is no session %q; status shows them in its first column", id)
	case len(found) > 1:
		return Status{}, fmt.Errorf("%d sessions begin with %s; give more digits", len(found), id)
	}
	x := found[0]
	st := x.status()
	if quiet := s.now().Sub(st.LastLine); !how.Force && st.State != Delivering && quiet < QuietFor {
		return st, fmt.Errorf("session %s of container %s has had lines %v ago, and a container that runs hangs when it is not read; stop it first, or use --force",
			st.Session, shortName(x.meta), quiet.Round(time.Second))
	}
	if st.State == Delivering && !how.Discard {
		return st, fmt.Errorf("session %s of container %s ends by itself when its lines are delivered; use --discard to give them up", st.Session, shortName(x.meta))
	}
	s.log.Warn("a session is forgotten", x.attrs(), "discard", how.Discard, "waitingBytes", st.WaitingBytes)
	if !how.Discard {
		x.leave()
		return st, nil
	}
	if !s.giveUp(x) {
		return st, errors.New("it is just ending")
	}
	return st, nil
}
