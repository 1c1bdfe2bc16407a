package splunk

import (
	"slices"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/logplugin/router/splunk/hectest"
)

// A batch is acknowledged by the receiver that has taken it, and by no other: both count from the same number.
func TestSeveralAddresses(t *testing.T) {
	first, second := start(t, hectest.Options{Ack: true, NeverAck: true}, nil).hec, start(t, hectest.Options{Ack: true}, nil).hec
	s := start(t, hectest.Options{}, map[string]string{"splunk-url": first.URL() + "," + second.URL(), "splunk-index-acknowledgment": "true"})
	s.router.timing.ack = 20e9
	var addresses []string
	for _, a := range Kind().Addresses(router.Options{Plain: map[string]string{"splunk-url": first.URL() + "/prefix," + second.URL()}}.Unresolved()) {
		addresses = append(addresses, a.String())
	}
	if want := []string{first.URL(), second.URL()}; !slices.Equal(addresses, want) {
		t.Errorf("the addresses are %q, want %q", addresses, want)
	}
	waits := make(chan error, 1)
	go func() { waits <- s.router.Send(t.Context(), s.batch(2)) }()
	routertest.Await(t, "the first has a batch, and is asked about it", func() bool { return len(first.Requests()) > 1 })
	first.FailAlways(&hectest.Fault{Code: 9})
	for range 3 {
		if e := s.send(t, s.batch(1)); routertest.ClassOf(e) != router.ClassRetry {
			t.Errorf("%v, want class retry", e)
		}
	}
	if e := s.send(t, s.batch(3)); e != nil {
		t.Fatal(e)
	}
	select {
	case err := <-waits:
		t.Fatalf("the second's acknowledgement is taken for the first's: %v", err)
	default:
	}
	first.FailAlways(nil)
	first.SetNeverAck(false)
	if err := <-waits; err != nil || first.Count() != 2 || second.Count() != 3 {
		t.Errorf("%v, %d and %d events, want 2 and 3", err, first.Count(), second.Count())
	}
}
