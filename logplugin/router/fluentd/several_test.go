package fluentd

import (
	"fmt"
	"slices"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/fluentd/forwardtest"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

// Of several addresses the next is used when the first has failed three times: every line arrives once, those of a container in order,
// and the connection to the second is kept.
func TestSeveralAddresses(t *testing.T) {
	for _, ack := range []string{"true", "false"} {
		t.Run("ack "+ack, func(t *testing.T) {
			servers := make([]*forwardtest.Server, 2)
			for i, o := range []forwardtest.Options{{SharedKey: sharedKey}, {SharedKey: sharedKey}} {
				s, err := forwardtest.Start(o)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(s.Close)
				servers[i] = s
			}
			first, second := servers[0], servers[1]
			o := router.Options{Plain: map[string]string{"fluentd-address": first.Address() + ", " + second.Address(), "fluentd-request-ack": ack, "fluentd-shared-key": sharedKey}}
			if got, want := addressesOf(o), []string{first.Address(), second.Address()}; !slices.Equal(got, want) {
				t.Errorf("lines may go to %q, want %q", got, want)
			}
			c, err := Parse(o)
			if err != nil {
				t.Fatal(err)
			}
			r := New(c)
			t.Cleanup(func() { _ = r.Close() })
			e, err := NewEncoder(t.Context(), c, routertest.Session("one"))
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			send := func() *router.Error {
				b := &router.Batch{}
				for range 10 {
					line := fmt.Sprintf("line %d", len(want))
					b.Append(e, &router.Record{Line: []byte(line)})
					want = append(want, line)
				}
				failed := routertest.Send(t, r, b)
				if failed != nil {
					want = want[:len(want)-10] // they come again
				}
				return failed
			}
			arrived := func(s *forwardtest.Server) {
				t.Helper()
				routertest.Await(t, "the lines", func() bool { return s.Count() >= len(want) })
				for i, got := range s.Entries() {
					if got.Get("log") != want[i] || s.Count() != len(want) {
						t.Fatalf("entry %d of %d is %q, want %q of %d", i, s.Count(), got.Get("log"), want[i], len(want))
					}
				}
				want = nil
			}
			for range 3 {
				if failed := send(); failed != nil {
					t.Fatal(failed)
				}
			}
			arrived(first)
			first.Close()
			routertest.Await(t, "the end of the connection is seen", r.conn.isGone)
			for range 3 {
				if failed := send(); router.ClassOf(failed) != router.ClassRetry {
					t.Fatalf("%v, want class retry", failed)
				}
			}
			for range 3 {
				if failed := send(); failed != nil {
					t.Fatal(failed)
				}
			}
			arrived(second)
			if n := second.Connections(); n != 1 {
				t.Errorf("%d connections to the second, want 1", n)
			}
		})
	}
}

func addressesOf(o router.Options) (all []string) {
	for _, a := range Kind().Addresses(o.Unresolved()) {
		all = append(all, a.String())
	}
	return all
}

// A list is checked address by address.
func TestAddressList(t *testing.T) {
	for text, want := range map[string]string{
		"a:1,b:2":                       "",
		"tls://a, tcp://b, unix:///s,t": "",
		"tcp://a,tcp://a:24224":         "given twice",
		"tcp://a,http://b":              "its scheme is not one of",
		"tcp://a,,tcp://b":              "nothing between two commas",
	} {
		routertest.Refuses(t, Kind(), map[string]string{}, map[string]string{"fluentd-address": text}, nil, want, "h1dden")
	}
	tls := map[string]string{"fluentd-tls-server-name": "x"}
	routertest.Refuses(t, Kind(), tls, map[string]string{"fluentd-address": "tcp://a,tls://b"}, nil, "", "h1dden")
	routertest.Refuses(t, Kind(), tls, map[string]string{"fluentd-address": "tcp://a,unix:///s"}, nil, "begins with tls://", "h1dden")
}
