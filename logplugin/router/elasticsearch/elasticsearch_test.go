package elasticsearch

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/elasticsearch/elastictest"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

// setup is a server and a router to it.
type setup struct {
	*routertest.Setup
	server *elastictest.Server
}

func start(t testing.TB, o elastictest.Options, options map[string]string) *setup {
	t.Helper()
	server := elastictest.Start(o)
	t.Cleanup(server.Close)
	return &setup{routertest.Start(t, Kind(nil), apiKey, map[string]string{address: server.URL()}, options), server}
}

func messages(documents []elastictest.Document) (lines []string) {
	for _, d := range documents {
		lines = append(lines, d.Message())
	}
	return lines
}

func TestSuite(t *testing.T) {
	for _, encoding := range []string{router.Gzip, noneEncoding} {
		t.Run(encoding, func(t *testing.T) {
			routertest.Run(t, func(t *testing.T) *routertest.Subject {
				s := start(t, elastictest.Options{}, map[string]string{compress: encoding})
				return s.Subject(s.server.Receiver, func() []string { return messages(s.server.Sent()) }, func(key string) { s.server.SetAuth("ApiKey " + key) })
			})
		})
	}
}

func TestPeers(t *testing.T) {
	routertest.Peers(t, func(t *testing.T) *routertest.Peer {
		s := start(t, elastictest.Options{}, map[string]string{timeout: "1s"})
		p := s.Peer(s.server.Receiver)
		p.Answer = maxAnswer
		return p
	})
}

// TestAnswers is the table of what a server, or what stands in its place, may answer to the whole of a request.
func TestAnswers(t *testing.T) {
	const (
		ten  = `{"create":{"status":201}}`
		json = "application/json"
	)
	items := func(n int) string { return `{"errors":false,"items":[` + strings.Repeat(ten+",", n-1) + ten + `]}` }
	routertest.Answers(t, func(t *testing.T) *routertest.Peer {
		s := start(t, elastictest.Options{}, nil)
		return s.Peer(s.server.Receiver)
	},
		routertest.Answer{Status: 200, Body: items(10), Type: json},
		routertest.Answer{Status: 200, Body: " " + strings.ReplaceAll(items(10), ":", " : "), Type: json},
		routertest.Answer{Status: 200, Body: items(9), Type: json, Want: router.ClassConfig, Says: "not what the bulk API answers"},
		routertest.Answer{Status: 200, Body: items(11), Type: json, Want: router.ClassConfig, Says: "not what the bulk API answers"},
		routertest.Answer{Status: 200, Body: `{"items":{}}`, Type: json, Want: router.ClassConfig, Says: "not what the bulk API answers"},
		routertest.Answer{Status: 200, Body: `{"items":["c4n4ry",2,3,4,5,6,7,8,9,10]}`, Type: json, Want: router.ClassConfig, Says: "not what the bulk API answers"},
		routertest.Answer{Status: 200, Body: "{}", Type: json, Want: router.ClassConfig, Says: "not what the bulk API answers"},
		routertest.Answer{Status: 200, Body: "OK", Want: router.ClassConfig, Says: "not what the bulk API answers"},
		routertest.Answer{Status: 200, Body: strings.Repeat(" ", maxAnswer) + items(10), Want: router.ClassTooLarge, Says: "more than is read"},
		routertest.Answer{Status: 201, Body: items(10), Type: json, Want: router.ClassConfig, Says: "check that " + address},
		routertest.Answer{Status: 204, Want: router.ClassConfig, Says: "check that " + address},
		routertest.Answer{Status: 400, Body: `{"error":{"type":"illegal_argument_exception","reason":"c4n4ry"},"status":400}`, Type: json, Want: router.ClassBadRecords, Says: "400 Bad Request: illegal_argument_exception"},
		routertest.Answer{Status: 400, Body: `{"error":"no handler found for uri [/c4n4ry/_bulk] and method [POST]"}`, Type: json, Want: router.ClassConfig, Says: "there is no bulk API"},
		routertest.Answer{Status: 400, Body: `{"error":{"type":"c4n4ry, and blanks"}}`, Type: json, Want: router.ClassBadRecords, Says: "400"},
		routertest.Answer{Status: 403, Body: `{"error":{"type":"security_exception","reason":"c4n4ry"}}`, Type: json, Want: router.ClassCredentials, Says: "security_exception; the user or the key needs the privileges"},
		routertest.Answer{Status: 406, Want: router.ClassConfig, Says: "406"},
		// OpenSearch, and Amazon's service of it.
		routertest.Answer{Status: 401, Body: "Unauthorized", Type: "text/plain", Want: router.ClassCredentials, Says: "401"},
		routertest.Answer{Status: 403, Body: `{"Message":"User: c4n4ry is not authorized to perform: es:ESHttpPost"}`, Type: json, Want: router.ClassCredentials, Says: "403"},
		routertest.Answer{Status: 413, Body: `{"Message":"Request size exceeded 10485760 bytes"}`, Type: json, Want: router.ClassTooLarge, Says: "413"},
		routertest.Answer{Status: 429, Body: "429 Too Many Requests /_bulk", Type: "text/plain", Want: router.ClassRetry, Says: "429"},
		routertest.Answer{Status: 429, Body: `{"error":{"type":"rejected_execution_exception"}}`, Type: json, Want: router.ClassRetry, Says: "rejected_execution_exception"},
		routertest.Answer{Status: 429, Body: `{"error":{"type":"circuit_breaking_exception"}}`, Type: json, Want: router.ClassRetry, Says: "circuit_breaking_exception"},
		routertest.Answer{Status: 503, Body: `{"error":{"type":"cluster_block_exception"}}`, Type: json, Want: router.ClassRetry, Says: "cluster_block_exception"},
	)
}

// TestItems is the table of what a server may say of one record among others.
func TestItems(t *testing.T) {
	for _, verbose := range []bool{false, true} {
		for _, c := range []struct {
			status  int
			kind    string
			outcome router.Outcome
			want    router.Class
			says    string
		}{
			{200, "", router.Taken, "", ""}, {201, "", router.Taken, "", ""}, {409, "version_conflict_engine_exception", router.Taken, "", ""},
			{400, "document_parsing_exception", router.Refused, router.ClassBadRecords, "1 of 4 records refused and 0 put off: document_parsing_exception"},
			{400, "mapper_parsing_exception", router.Refused, router.ClassBadRecords, "mapper_parsing_exception"}, {400, "", router.Refused, router.ClassBadRecords, "1 of 4"},
			{413, "x", router.Refused, router.ClassBadRecords, ""},
			{429, "es_rejected_execution_exception", router.Again, router.ClassRetry, "1 put off: es_rejected_execution_exception"},
			{408, "", router.Again, router.ClassRetry, ""}, {500, "", router.Again, router.ClassRetry, ""}, {503, "unavailable_shards_exception", router.Again, router.ClassRetry, ""},
			{400, "invalid_index_name_exception", router.Again, router.ClassConfig, "correct " + index}, {400, "index_closed_exception", router.Again, router.ClassConfig, "open the index"},
			{400, "validation_exception", router.Again, router.ClassConfig, "no more shards"}, {404, "index_not_found_exception", router.Again, router.ClassConfig, "create the index"},
			{404, "", router.Again, router.ClassConfig, ""}, {403, "cluster_block_exception", router.Again, router.ClassConfig, "blocked"}, {403, "", router.Again, router.ClassConfig, ""},
			{403, "security_exception", router.Again, router.ClassCredentials, "create_doc"}, {401, "security_exception", router.Again, router.ClassCredentials, "create_doc"},
		} {
			s := start(t, elastictest.Options{Verbose: verbose, Fail: func(d elastictest.Document) (int, string) {
				if strings.HasSuffix(d.Message(), "000002") {
					return c.status, c.kind
				}
				return 0, ""
			}}, nil)
			b, _ := routertest.Batch(s.Encoders, 4)
			e := s.Send(t, b)
			if routertest.ClassOf(e) != c.want || e != nil && !strings.Contains(e.Error(), c.says) {
				t.Errorf("%d %s: %+v, want class %q saying %q", c.status, c.kind, e, c.want, c.says)
				continue
			}
			if want := []router.Outcome{router.Taken, router.Taken, c.outcome, router.Taken}; e != nil && !slices.Equal(e.Outcomes, want) {
				t.Errorf("%d %s: outcomes %v, want %v", c.status, c.kind, e.Outcomes, want)
			}
			if told := s.Key.Invalidated() > 0; told != (c.want == router.ClassCredentials) {
				t.Errorf("%d %s: the source of the key is told: %v", c.status, c.kind, told)
			}
		}
	}
}

// Of several faults a pause comes first, whatever their order; a refused record is told as such besides.
func TestFaultsTogether(t *testing.T) {
	for _, order := range [][]string{{"b", "r", "c"}, {"c", "b", "r"}, {"r", "c", "b"}} {
		n := 0
		s := start(t, elastictest.Options{Fail: func(elastictest.Document) (int, string) {
			n++
			switch order[n-1] {
			case "b":
				return 400, "document_parsing_exception"
			case "r":
				return 429, "es_rejected_execution_exception"
			}
			return 404, "index_not_found_exception"
		}}, nil)
		b, _ := routertest.Batch(s.Encoders, 3)
		if e := s.Send(t, b); routertest.ClassOf(e) != router.ClassRetry || !strings.Contains(e.Error(), "1 of 3 records refused and 2 put off: es_rejected_execution_exception") {
			t.Errorf("%v: %+v", order, e)
		}
	}
}

// What arrives is what was sent, with what is known of the container.
func TestDocuments(t *testing.T) {
	lines := []string{"plain", "", " ", "é€😀", `"quoted" \ back`, "\x00\x01\t", "bad \xff\xfe bytes", "<&>\u2028", `{"level":"error","msg":"m"}`}
	s := start(t, elastictest.Options{}, map[string]string{fields: "env=prod,container.name=other", pipeline: "p-1"})
	b := &router.Batch{}
	for i, l := range lines {
		b.Append(s.Encoders[i%2], &router.Record{TimeNano: 1795463301547679123, Position: int64(i), Source: []byte([]string{"stdout", "stderr", "odd"}[i%3]), Line: []byte(l)})
	}
	if e := s.Send(t, b); e != nil {
		t.Fatal(e)
	}
	got := s.server.Documents()
	if len(got) != len(lines) {
		t.Fatalf("%d documents, want %d", len(got), len(lines))
	}
	for i, d := range got {
		name := []string{"one", "two"}[i%2]
		want := map[string]any{
			"@timestamp": "2026-11-23T19:48:21.547679123Z", "message": string([]rune(lines[i])), "log.offset": float64(i), "container.id": strings.Repeat(name[:1], 64), "container.name": "other",
			"container.image.name": "nginx:1", "host.name": "h", "service.name": name, "service.namespace": "shop", "labels.app": name, "labels.service": "not this", "env": "prod",
		}
		if i%3 < 2 {
			want["stream"] = []string{"stdout", "stderr"}[i%3]
		}
		if !maps.Equal(d.Fields, want) || d.Index != defaultIndex || d.Pipeline != "p-1" {
			t.Errorf("document %d is %+v, want %v", i, d, want)
		}
	}
	if x := s.server.Exchanges()[0]; x.Header.Get("Content-Encoding") != router.Gzip || x.Path != bulkPath {
		t.Errorf("%s %v", x.Path, x.Header)
	}
}

// A batch that is sent again is stored once; so is a line that comes again in another batch, after a crash. A line that has
// gone on since then is another.
func TestSentAgain(t *testing.T) {
	s := start(t, elastictest.Options{}, nil)
	b, lines := routertest.Batch(s.Encoders, 100)
	s.server.Fail(routertest.Mishap{Drop: true})
	for range 3 {
		_ = s.Send(t, b)
	}
	if e := s.Send(t, b.Slice(10, 60)); e != nil {
		t.Fatal(e)
	}
	if got := messages(s.server.Documents()); !slices.Equal(got, lines) || len(s.server.Known()) != 150 {
		t.Errorf("%d documents, %d of them sent again, want 100 and 150", len(got), len(s.server.Known()))
	}
	before := len(s.server.Documents())
	b = &router.Batch{}
	for _, l := range []string{"begun", "begun and ended", "begun"} {
		b.Append(s.Encoders[0], &router.Record{Position: 1 << 40, Line: []byte(l)})
	}
	for _, at := range []int64{-7, 7, 0} { // a record in place of missing lines is none of them
		b.Append(s.Encoders[0], &router.Record{Position: at, Line: []byte("same")})
	}
	b.Append(s.Encoders[1], &router.Record{Line: []byte("same")})
	if e := s.Send(t, b); e != nil {
		t.Fatal(e)
	}
	if got := messages(s.server.Documents()[before:]); !slices.Equal(got, []string{"begun", "begun and ended", "same", "same", "same", "same"}) {
		t.Errorf("%q", got)
	}
}

func TestParsedJSON(t *testing.T) {
	for line, want := range map[string]map[string]any{
		`{"msg":"hello \u00e9\n","n":1,"z":null}`:               {"message": "hello é\n", "n": 1.0, "z": nil},
		`{"message":"m","msg":"x"}`:                             {"message": "m", "msg": "x"},
		`{"a":1}`:                                               {"message": `{"a":1}`, "a": 1.0},
		`{"message":7,"host":"x","host.ip":"y","hostname":1}`:   {"line.message": 7.0, "line.host": "x", "line.host.ip": "y", "hostname": 1.0},
		`{"@timestamp":"t","_id":"1","env":"dev","stream":"s"}`: {"line.@timestamp": "t", "line._id": "1", "line.env": "dev", "env": "prod", "line.stream": "s"},
		"plain": {"message": "plain"}, `[1]`: {"message": "[1]"}, "{}": {"message": "{}"},
	} {
		s := start(t, elastictest.Options{}, map[string]string{parseJSON: "true", fields: "env=prod"})
		b := &router.Batch{}
		for i := range 2 { // the second finds the memory of the first
			b.Append(s.Encoders[0], &router.Record{Position: int64(i), Source: []byte("stdout"), Line: []byte(line)})
		}
		if e := s.Send(t, b); e != nil {
			t.Fatalf("%s: %v", line, e)
		}
		for _, d := range s.server.Documents() {
			for name, value := range want {
				if got, has := d.Fields[name]; got != value || !has {
					t.Errorf("%s: %s is %v, want %v", line, name, got, value)
				}
			}
			if d.Fields["host.name"] != "h" || d.Fields["labels.app"] != "one" || d.Fields["@timestamp"] != "1970-01-01T00:00:00.000000000Z" {
				t.Errorf("%s: %v", line, d)
			}
		}
	}
}

// The name of the index is one that the server takes, with the date of the record.
func TestIndex(t *testing.T) {
	const day = int64(86400e9)
	for given, want := range map[string][]string{
		"":                      {defaultIndex, defaultIndex},
		"logs":                  {"logs", "logs"},
		"logs-%Y.%m.%d":         {"logs-2026.11.23", "logs-2026.11.24"},
		"%Y-x-%H":               {"2026-x-19", "2026-x-19"},
		"a%y%j":                 {"a26327", "a26328"},
		"Web.Site-%Y":           {"web.site-2026", "web.site-2026"},
		"_-+Logs/a:b*,c d#\x01": {"logs-a-b--c-d--", "logs-a-b--c-d--"},
		"\xff\x22é":             {"-é", "-é"},
	} {
		options := map[string]string{index: given}
		if given == "" {
			options = nil
		}
		s := start(t, elastictest.Options{}, options)
		b := &router.Batch{}
		for i := range int64(4) {
			b.Append(s.Encoders[0], &router.Record{TimeNano: 1795463301547679123 + i%2*day, Position: i, Line: []byte("x")})
		}
		if given == "\xff\x22é" { // nothing is left in front but what the server refuses there
			want = []string{"é", "é"}
		}
		e := s.Send(t, b)
		if e != nil {
			t.Errorf("%q: %v", given, e)
			continue
		}
		for i, d := range s.server.Documents() {
			if d.Index != want[i%2] {
				t.Errorf("%q: record %d goes to %q, want %q", given, i, d.Index, want[i%2])
			}
		}
	}
}

// No request has more than a server takes, whatever is in a batch; what of it was delivered is not sent again.
func TestLimits(t *testing.T) {
	s := start(t, elastictest.Options{}, nil)
	b, lines := routertest.Batch(s.Encoders, maxLines+1500)
	first := b.Fit(0, maxLines, maxBytes)
	s.server.Fail(routertest.Mishap{}, routertest.Mishap{Status: 503})
	if e := s.Send(t, b); routertest.ClassOf(e) != router.ClassRetry || e.Delivered != first {
		t.Fatalf("%+v, want %d delivered", e, first)
	}
	if e := s.Send(t, b.Slice(first, b.Len())); e != nil {
		t.Fatal(e)
	}
	if got := messages(s.server.Documents()); !slices.Equal(got, lines) {
		t.Errorf("%d lines arrived, want each of %d once and in order", len(got), len(lines))
	}
	s = start(t, elastictest.Options{}, nil)
	b = &router.Batch{}
	for i, unit := range []string{"x", "\x01", "é", "\xff"} {
		for j := range 3 {
			b.Append(s.Encoders[0], &router.Record{Position: int64(10*i + j), Line: []byte(strings.Repeat(unit, maxText+100))})
		}
	}
	if e := s.Send(t, b); e != nil {
		t.Fatal(e)
	}
	if got := s.server.Documents(); len(got) != 12 || len(s.server.Exchanges()) < 3 {
		t.Errorf("%d lines in %d requests", len(got), len(s.server.Exchanges()))
	}
	for i, d := range s.server.Documents() {
		if !strings.HasSuffix(d.Message(), router.CutMark) {
			t.Errorf("line %d of %d bytes has no mark of the cut", i, len(d.Message()))
		}
	}
}

// A verification sends no document, and tells a wrong credential and a wrong address.
func TestVerify(t *testing.T) {
	for name, c := range map[string]struct {
		mishap routertest.Mishap
		auth   string
		want   router.Class
	}{
		"Elasticsearch":      {},
		"another server":     {mishap: routertest.Mishap{Body: `{"took":0,"errors":false,"items":[]}`}},
		"wrong key":          {auth: "ApiKey another", want: router.ClassCredentials},
		"no bulk API":        {mishap: routertest.Mishap{Status: 400, Body: `{"error":"no handler found for uri [/_bulk] and method [POST]"}`}, want: router.ClassConfig},
		"another 400":        {mishap: routertest.Mishap{Status: 400, Body: "what?"}, want: router.ClassConfig},
		"a page":             {mishap: routertest.Mishap{HTML: true}, want: router.ClassConfig},
		"something else":     {mishap: routertest.Mishap{Body: "OK"}, want: router.ClassConfig},
		"nothing":            {mishap: routertest.Mishap{Status: 204}, want: router.ClassConfig},
		"too many":           {mishap: routertest.Mishap{Status: 429}, want: router.ClassRetry},
		"wrong path":         {mishap: routertest.Mishap{Status: 404}, want: router.ClassConfig},
		"too large, of zero": {mishap: routertest.Mishap{Status: 413}, want: router.ClassConfig},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, elastictest.Options{Auth: c.auth}, nil)
			s.server.Fail(c.mishap)
			err := s.Router.(*Router).VerifyCredentials(t.Context())
			if router.ClassOf(err) != c.want || len(s.server.Sent()) != 0 {
				t.Errorf("%v, want class %q", err, c.want)
			}
			routertest.Quiet(t, err, routertest.Key)
			if told := s.Key.Invalidated() > 0; told != (c.want == router.ClassCredentials) {
				t.Errorf("the source of the key is told: %v", told)
			}
		})
	}
}

// The ways to log in, and what may stand in front of the path.
func TestRequests(t *testing.T) {
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("u:p"))
	for _, c := range []struct {
		options map[string]string
		path    string
		auth    string
	}{
		{map[string]string{apiKey: "a2V5"}, "", "ApiKey a2V5"},
		{map[string]string{apiKey: "id:key"}, "/", "ApiKey " + base64.StdEncoding.EncodeToString([]byte("id:key"))},
		{map[string]string{"elasticsearch-user": "u", "elasticsearch-password": "p"}, "/prefix/", basic},
		{map[string]string{"elasticsearch-bearer-token": "t"}, "/prefix?_msg_field=message", "Bearer t"},
	} {
		server := elastictest.Start(elastictest.Options{Auth: c.auth})
		t.Cleanup(server.Close)
		all := maps.Clone(c.options)
		all[address] = server.URL() + c.path
		config, err := Kind(nil).New(router.Options{Plain: all})
		if err != nil {
			t.Fatal(err)
		}
		r := config.Router()
		e, err := config.Encoder(t.Context(), routertest.Session("n"))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := routertest.Batch([]router.Encoder{e}, 1)
		if err := r.Send(t.Context(), b); err != nil {
			t.Errorf("%v: %v", c.options, err)
		}
		_ = r.Close()
		path, query, _ := strings.Cut(c.path, "?")
		want := strings.TrimRight(path, "/") + bulkPath
		if query != "" {
			want += "&" + query
		}
		if all := server.Exchanges(); len(all) != 1 || all[0].Path != want || all[0].Method != http.MethodPost {
			t.Errorf("%v: %+v, want one request to %s", c.options, all, want)
		}
	}
}

// While one address does not answer the next one gets the lines, in their order. Errors say which one it was.
func TestSeveralAddresses(t *testing.T) {
	down, up := elastictest.Start(elastictest.Options{}), elastictest.Start(elastictest.Options{})
	t.Cleanup(up.Close)
	t.Cleanup(down.Close)
	s := routertest.Start(t, Kind(nil), apiKey, map[string]string{address: down.URL() + "," + up.URL() + "/prefix?x=y"})
	down.FailAlways(&routertest.Mishap{Drop: true})
	b, lines := routertest.Batch(s.Encoders, 10)
	for i := range 3 {
		if i == 2 {
			down.FailAlways(&routertest.Mishap{Status: 503})
		}
		e := s.Send(t, b)
		if routertest.ClassOf(e) != router.ClassRetry || !strings.Contains(e.Error(), down.URL()+" and 1 more: ") || !strings.Contains(e.Error(), ", at "+down.URL()) {
			t.Fatalf("%v", e)
		}
	}
	if e := s.Send(t, b); e != nil {
		t.Fatal(e)
	}
	if got := messages(up.Documents()); !slices.Equal(got, lines) || len(down.Documents()) != 0 {
		t.Errorf("%q", got)
	}
	if x := up.Exchanges(); len(x) != 1 || x[0].Path != "/prefix"+bulkPath+"&x=y" {
		t.Errorf("%+v", x)
	}
}

func TestSigned(t *testing.T) {
	server := elastictest.Start(elastictest.Options{Auth: "signed aoss"})
	t.Cleanup(server.Close)
	routertest.Signed(t, Kind, "elasticsearch", address, nil, server.Receiver)
}

func FuzzAnswer(f *testing.F) {
	for _, text := range []string{
		`{"errors":false,"items":[{"create":{"status":201}},{"create":{"status":400,"error":{"type":"x"}}}]}`, `{"items":[{"create":{"status":429}},{}]}`,
		`{"error":{"type":"security_exception"}}`, `{"items":[[],{"a":{"status":1e9}}]}`, "", "[", `{"items":[`,
	} {
		f.Add([]byte(text))
	}
	f.Add([]byte(answerOf(`{"took":1,`, 2)))
	f.Fuzz(func(t *testing.T, body []byte) {
		agree(t, body, 2)
		var p answer
		for range 2 {
			if ok := p.read(body, 2); ok && len(p.outcomes) != 0 && len(p.outcomes) != 2 {
				t.Errorf("%d outcomes of 2 records", len(p.outcomes))
			}
		}
		if kind := p.errorKind(body); strings.ContainsAny(kind, " \n\"<") {
			t.Errorf("the type of the fault is %q", kind)
		}
		_ = fmt.Sprint(empty(&router.Answer{Status: 200, Body: body}, "x"))
	})
}

// Fluent Bit's documents, as the settings say.
func TestFluentBit(t *testing.T) {
	session := routertest.Session("web")
	session.Tag, session.Attrs = "t", map[string]string{"a.b": "x"}
	member := `"container_id":"` + session.ContainerID + `","container_name":"/web","source":"stdout","log":"l"`
	for settings, want := range map[string]string{
		"output=es": `{"create":{"_index":"i","_id":"` + session.ID + `.7.1"}}` + "\n" + `{"@timestamp":"2026-11-23T10:00:00.123Z",` + member + `,"a.b":"x"}` + "\n",
		"output=es,generate_id=false,type=doc,time_key=t,time_key_format=%Y,time_key_nanos=true,include_tag_key=true,tag_key=tag,replace_dots=true": `{"create":{"_index":"i","_type":"doc"}}` + "\n" +
			`{"t":"2026.123456789Z","tag":"t",` + member + `,"a_b":"x"}` + "\n",
	} {
		v := router.Options{Plain: map[string]string{index: "i", "elasticsearch-fluent-bit": settings}}.Unresolved()
		got := sessionOf(v, session).AppendRecord(nil, &router.Record{TimeNano: 1795428000_123456789, Source: []byte("stdout"), Line: []byte("l"), Position: 7})
		if string(got) != want || v.Err() != nil {
			t.Errorf("%s: %v\n%s, want\n%s", settings, v.Err(), got, want)
		}
	}
}
