package routertest

import (
	"testing"

	"github.com/secretref/secretref/logplugin/router"
)

const (
	outageLines = 64       // of a batch
	oneSegment  = 64 << 10 // what the kernel takes when its buffer is nearly full
)

// OutageLoses sends to a receiver that reads nothing until it takes no more, and ends it then: what counted as delivered is lost. Over
// TCP that is what the buffer of the receiver's socket held, and never what this host's socket held; on a socket of this host it
// is nothing. What comes after the outage arrives.
func OutageLoses(t *testing.T, s *SocketSetup) {
	t.Helper()
	s.Receiver.SetFault(SocketHangs)
	lost, batches := 0, 0
	for ; ; batches++ {
		b, _ := Batch(s.Encoders[:1], outageLines)
		failed := Send(t, s.Router, b)
		if failed == nil {
			lost += len(b.Body)
			continue
		}
		if failed.Class != router.ClassRetry || !failed.TimedOut {
			t.Fatalf("%v, want that the receiver takes nothing", failed)
		}
		if failed.Delivered > 0 {
			lost += b.Ends[failed.Delivered-1]
		}
		break
	}
	held := s.Receiver.Buffer()
	s.Receiver.SetFault(SocketAway)
	if n := len(s.Receiver.Messages()); n != 0 {
		t.Fatalf("%d messages were read, want none", n)
	}
	t.Logf("%d batches with %d bytes are lost; the receiver's buffer holds %d", batches, lost, held)
	if lost > held+oneSegment || held > 0 && lost == 0 || held == 0 && lost > 0 {
		t.Errorf("%d bytes are lost, want some if there is a buffer, and at most the %d that it holds and a segment", lost, held)
	}
	s.Receiver.SetFault(SocketWell)
	b, lines := Batch(s.Encoders[:1], outageLines)
	Await(t, "a batch is delivered", func() bool { return Send(t, s.Router, b) == nil })
	Await(t, "it arrives", func() bool { return len(s.Receiver.Messages()) >= len(lines) })
}
