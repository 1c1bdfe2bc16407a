package router

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 3
		var f Failover
		pass := func(d time.Duration) { <-time.NewTimer(d).C } // the bubble's time
		use := func(want int, probe, ok bool) {
			t.Helper()
			i, isProbe := f.Choose(n)
			if i != want || isProbe != probe {
				t.Fatalf("address %d, probe %v, want %d, %v", i, isProbe, want, probe)
			}
			f.Report(i, n, ok)
		}
		use(0, false, true)
		use(0, false, false)
		use(0, false, false)
		use(0, false, true) // failures count in a row
		for range 3 {
			use(0, false, false)
		}
		use(1, false, true)
		pass(59 * time.Second)
		use(1, false, true)
		pass(time.Second)
		use(0, true, false)
		use(1, false, true)
		pass(time.Minute)
		use(0, true, true)
		use(0, false, true)

		use(0, false, false)
		pass(10 * time.Second) // two failures, but long enough
		use(0, false, false)
		for range 3 {
			use(1, false, false)
		}
		for range 3 {
			use(2, false, false)
		}
		use(0, false, true) // round
		for range 3 {
			use(0, false, false)
		}
		if i, _ := f.Choose(1); i != 0 {
			t.Errorf("address %d of 1", i)
		}
	})
}

// One address has nowhere to go.
func TestFailoverOfOne(t *testing.T) {
	var f Failover
	for range 10 {
		if i, probe := f.Choose(1); i != 0 || probe {
			t.Fatalf("address %d, probe %v", i, probe)
		}
		f.Report(0, 1, false)
	}
}

func TestAddressList(t *testing.T) {
	f := AddressForm{Option: "x-address", Default: "tcp://127.0.0.1:1", Scheme: "tcp", Ports: map[string]string{"tcp": "1", "unix": "", "unixgram": ""}, List: true, Example: "tcp://HOST"}
	for _, c := range []struct {
		text string
		want string // blanks between them
		err  string
	}{
		{"", "tcp://127.0.0.1:1", ""},
		{"a", "tcp://a:1", ""},
		{"tcp://A:2,tcp://[::1]", "tcp://a:2 tcp://[::1]:1", ""},
		{"a, b ,c:3", "tcp://a:1 tcp://b:1 tcp://c:3", ""},
		{"unix:///run/a,unixgram:///run/b", "unix:///run/a unixgram:///run/b", ""},
		{"a,a:1", "", "given twice"},
		{"a,", "", "nothing between two commas"},
		{"a,,b", "", "nothing between two commas"},
		{"a,http://b", "", "its scheme is not one of"},
		{"a" + strings.Repeat(",a", 3), "", "given twice"},
		{"a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", "", "more than 16"},
	} {
		v := Options{Plain: map[string]string{"x-address": c.text}}.Unresolved()
		var got []string
		for _, a := range v.AddressList(f) {
			got = append(got, a.String())
		}
		if err := v.Err(); err != nil || c.err != "" {
			if err == nil || c.err == "" || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: %v, want %q", c.text, err, c.err)
			}
			continue
		}
		if !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
}
