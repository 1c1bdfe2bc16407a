package splunk

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/logplugin/router/splunk/hectest"
	"github.com/secretref/secretref/shared/secret"
)

// TestAnswers is the table of what a receiver, or what stands in its place, may answer: status, body, type and headers.
func TestAnswers(t *testing.T) {
	const (
		retry, credentials, config, bad, large = router.ClassRetry, router.ClassCredentials, router.ClassConfig, router.ClassBadRecords, router.ClassTooLarge

		success = `{"text":"Success","code":0}`
		noHEC   = "not an HTTP Event Collector"
	)
	html, js, text := "text/html; charset=utf-8", "application/json", "text/plain"
	var own []routertest.Answer
	for _, c := range []struct {
		status     int
		body, kind string
		want       router.Class
		says       string
	}{
		{200, success, js, delivered, ""}, {200, success, text, delivered, ""}, {201, success, js, delivered, ""},
		{200, " \r\n" + success + "\n", "", delivered, ""}, {200, `{"text":"Success"}`, js, delivered, ""}, {200, `"OK"`, js, delivered, ""},
		{200, `{"text":"Queue near capacity","code":24}`, js, delivered, ""}, {200, `{"code":0}`, html, delivered, ""},
		{200, "OK", text, config, noHEC}, {200, " ", text, config, noHEC}, {200, `{"status":"up"}`, js, config, "splunk-accept-any-2xx=true"},
		{200, `{}`, js, config, noHEC}, {200, `null`, js, config, noHEC}, {200, `[]`, js, config, noHEC}, {200, `0`, js, config, noHEC},
		{200, `"ok"`, js, config, noHEC}, {200, success + success, js, config, noHEC}, {200, success[:20], js, config, noHEC},
		{200, `{"text":"Success","code":null}`, js, config, noHEC}, {200, `{"text":"Success","code":"0"}`, js, config, noHEC},
		{200, `{"text":"Success","code":-1}`, js, config, noHEC}, {200, `{"text":"Success","code":0.5}`, js, config, noHEC},
		{200, `{"text":"Success","code":99}`, js, config, "HEC code 99"}, {200, `{"text":"HEC is healthy","code":17}`, js, config, noHEC},
		{200, `{"text":"Invalid data format","code":6}`, js, bad, "HEC code 6"}, {200, `{"text":"Invalid token","code":4}`, js, credentials, "HEC code 4"},
		{200, "<html>Sign in</html>", html, config, "a web page"}, {202, "<p>", "", config, "a web page"}, {206, success, js, delivered, ""},
		{301, success, js, config, "redirects are not followed"}, {304, "", "", config, "redirects"},
		{400, "Bad Request", text, config, noHEC}, {400, `{"text":"new","code":77}`, js, bad, "HEC code 77"}, {400, `{"error":"x"}`, js, config, noHEC},
		{400, success, js, config, noHEC}, {400, `{"text":"Event field is required","code":12}`, text, bad, "HEC code 12"},
		{401, "no", text, credentials, "401"}, {401, `{"text":"x","code":6}`, js, credentials, "401"}, {403, "<html>", html, credentials, "403 with a web page"},
		{403, `{"text":"Invalid token","code":4}`, js, credentials, "HEC code 4"}, {404, "<html>", html, config, noHEC}, {405, "x", text, config, noHEC},
		{407, "x", text, config, "proxy"}, {408, "x", text, retry, "408"}, {410, "x", text, config, noHEC}, {413, "x", text, large, "413"},
		{413, success, js, large, "413"}, {425, "x", text, retry, "425"}, {429, `{"text":"Queue at capacity","code":26}`, js, retry, "HEC code 26"},
		{429, `{"text":"x","code":6}`, js, retry, "429"}, {500, `{"text":"x","code":0}`, js, retry, "500"}, {502, "<html>", html, retry, "502"},
		{503, `{"text":"x","code":6}`, js, retry, "HEC code 6"}, {503, `{"text":"Invalid token","code":4}`, js, retry, "503"}, {504, "x", text, retry, "504"},
	} {
		own = append(own, routertest.Answer{Status: c.status, Body: c.body, Type: c.kind, Want: c.want, Says: c.says, Note: c.body == `"OK"`})
	}
	routertest.Answers(t, func(t *testing.T) *routertest.Peer { return start(t, hectest.Options{}, nil).peer(t) }, own...)
}

// invalid-event-number is believed only where HEC stops at an event.
func TestEventNumber(t *testing.T) {
	for code, known := range hectest.Codes {
		if code == 0 {
			continue
		}
		for _, status := range []int{0, 401, 429, 503} {
			s := start(t, hectest.Options{}, nil)
			s.hec.Fail(hectest.Fault{Status: cmp.Or(status, known.Status), Body: fmt.Sprintf(`{"text":"x","code":%d,"invalid-event-number":7}`, code)})
			e := s.send(t, s.batch(20))
			delivered := 0
			if status == 0 && stopsAtEvent(code) {
				delivered = 6
			}
			if e != nil && e.Delivered != delivered || e == nil && known.Status != 200 {
				t.Errorf("code %d, status %d: %+v, want %d delivered", code, status, e, delivered)
			}
		}
	}
}

func TestAcceptAny2xx(t *testing.T) {
	s := start(t, hectest.Options{}, map[string]string{"splunk-accept-any-2xx": "true"})
	for _, f := range []hectest.Fault{{Status: 204}, {Body: "OK"}, {Body: `{"status":"up"}`}} {
		s.hec.Fail(f)
		if e := s.send(t, s.batch(1)); e != nil {
			t.Errorf("%+v: %v", f, e)
		}
	}
	s.hec.Fail(hectest.Fault{Status: 400, Body: "OK"})
	if e := s.send(t, s.batch(1)); e == nil {
		t.Error("400 counts as delivered")
	}
}

func TestCheckKnowsLookalikes(t *testing.T) {
	s := start(t, hectest.Options{}, nil)
	s.hec.FailAlways(&hectest.Fault{Body: `{"status":"up"}`})
	if err := s.router.VerifyCredentials(t.Context()); router.ClassOf(err) != router.ClassConfig || !strings.Contains(err.Error(), "not an HTTP Event Collector") {
		t.Errorf("VerifyCredentials = %v, want class config", err)
	}
}

func TestAckIDs(t *testing.T) {
	for _, id := range []string{``, `,"ackId":null`, `,"ackId":"7"`, `,"ackId":-1`, `,"ackId":1.5`, `,"ackId":99999999999999999999`} {
		s := start(t, hectest.Options{}, map[string]string{"splunk-index-acknowledgment": "true"})
		s.hec.Fail(hectest.Fault{Body: `{"text":"Success","code":0` + id + `}`})
		if e := s.send(t, s.batch(1)); e == nil || e.Class != router.ClassConfig || !strings.Contains(e.Error(), "ackId") {
			t.Errorf("%q: %v, want class config", id, e)
		}
	}
}

func TestPeers(t *testing.T) {
	routertest.Peers(t, func(t *testing.T) *routertest.Peer {
		return start(t, hectest.Options{}, map[string]string{"splunk-timeout": "1s"}).peer(t)
	})
}

// A peer that sends without end or much in the words of HEC costs a bounded time and memory, and is named.
func TestPeersAreBounded(t *testing.T) {
	const most = 4 << 20 // bytes allocated for one exchange
	for name, c := range map[string]struct {
		fault hectest.Fault
		want  router.Class
	}{
		"endless":      {hectest.Fault{Body: strings.Repeat("x", 32<<10), Endless: true}, router.ClassConfig},
		"endless JSON": {hectest.Fault{Body: `{"text":"Success","code":0,"x":[`, Endless: true}, router.ClassConfig},
		"large header": {hectest.Fault{Body: "x", Padding: 1 << 20}, router.ClassRetry},
		"many acks":    {hectest.Fault{Body: `{"acks":{` + strings.Repeat(`"1":true,`, 6000) + `"2":true}}`}, router.ClassConfig},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, hectest.Options{}, map[string]string{"splunk-timeout": "1s"})
			b := s.batch(1)
			s.hec.Fail(c.fault)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			e := s.send(t, b)
			took := time.Since(began)
			runtime.ReadMemStats(&after)
			if router.ClassOf(asError(e)) != c.want {
				t.Errorf("%v, want class %s", e, c.want)
			}
			used := after.TotalAlloc - before.TotalAlloc
			t.Logf("%v, %d KiB (the receiver's own among them)", took.Round(time.Millisecond), used>>10)
			if took > 10*time.Second || used > most+uint64(len(c.fault.Body)) {
				t.Errorf("it took %v and %d bytes, want at most 10 s and %d", took, used, most)
			}
		})
	}
}

// A receiver repeats the token, in whatever spelling; it is shown nowhere.
func TestTokenInTheReceiversWords(t *testing.T) {
	const odd = `t0ken/with+odd"<signs>&=`
	for _, spelled := range []string{
		odd, strings.ToUpper(odd), url.QueryEscape(odd), url.PathEscape(odd), base64.StdEncoding.EncodeToString([]byte("x:" + odd)),
		base64.URLEncoding.EncodeToString([]byte("Splunk " + odd)), `t0ken\/with+odd\"\u003csigns\u003e\u0026=`, "t0ken/with+odd&#34;&lt;signs&gt;&amp;=",
	} {
		s := start(t, hectest.Options{}, nil)
		s.token.Rotate(odd)
		s.token.Invalidate(secret.New(token)) // from now on it is the new one
		for _, f := range []hectest.Fault{
			{Status: 403, Body: `{"text":` + string(mustJSON(t, "Invalid token: "+spelled)) + `,"code":4}`},
			{Status: 302, Location: "https://evil.example/" + spelled}, {Status: 502, Body: "<html>" + spelled},
			{Status: 302, Location: "https://" + base64.RawURLEncoding.EncodeToString([]byte(odd)) + ".example"},
		} {
			s.hec.Fail(f)
			err := s.router.Send(t.Context(), s.batch(1))
			if err == nil {
				t.Fatalf("%+v counts as delivered", f)
			}
			routertest.Quiet(t, err, odd, spelled, base64.RawURLEncoding.EncodeToString([]byte(odd)))
		}
	}
}

// An address that came by reference is in no error.
func TestHiddenAddress(t *testing.T) {
	const host = "hidden-hec.example"
	for _, address := range []string{"https://" + host + ":1", "http://" + host, "https://127.0.0.1:1", "http://127.0.0.1:1/prefix"} {
		o := router.Options{Secrets: map[string]secret.Source{"splunk-token": routertest.NewSource(token), "splunk-url": routertest.NewSource(address)}}
		c, err := Kind().New(o)
		if err != nil {
			t.Fatal(err)
		}
		r, _ := c.Router().(*Router)
		b := &router.Batch{Body: []byte("{}"), Ends: []int{2}}
		for what, err := range map[string]error{"Send": r.Send(t.Context(), b), "Verify": r.Verify(t.Context()), "check": r.VerifyCredentials(t.Context())} {
			if err == nil {
				t.Errorf("%s to %s is fine", what, address)
			}
			routertest.Quiet(t, err, host, "127.0.0.1", "/prefix")
		}
		_ = r.Close()
	}
}

func TestURLs(t *testing.T) {
	for given, want := range map[string]string{
		"": eventPath, "/": eventPath, "/services/collector": eventPath, "/services/collector/": eventPath, "/services/collector/event": eventPath,
		"/services/collector/raw/1.0": eventPath, "/proxy/splunk": "/proxy/splunk" + eventPath, "/p/services/collector/event/1.0": "/p" + eventPath,
	} {
		hec, err := hectest.Start(hectest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		s := start(t, hectest.Options{}, map[string]string{"splunk-url": hec.URL() + given})
		_ = s.router.Send(t.Context(), s.batch(1)) // the test receiver may not know the prefix
		if all := hec.Requests(); len(all) != 1 || all[0].Path != want {
			t.Errorf("splunk-url with %q: %+v, want one request to %s", given, all, want)
		}
		hec.Close()
	}
}

func TestPortIsMentioned(t *testing.T) {
	s := start(t, hectest.Options{}, map[string]string{"splunk-url": "http://127.0.0.1", "splunk-timeout": "2s"})
	if e := s.send(t, s.batch(1)); e == nil || !strings.Contains(e.Error(), "8088") {
		t.Errorf("%v, want a hint to port 8088", e)
	}
}

func TestIndexIsNamed(t *testing.T) {
	s := start(t, hectest.Options{Indexes: []string{"main"}}, map[string]string{"splunk-index": "mian"})
	if e := s.send(t, s.batch(1)); e == nil || !strings.Contains(e.Error(), `allow index "mian" for the token`) {
		t.Errorf("%v, want the index", e)
	}
}

func mustJSON(t *testing.T, s string) []byte {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
