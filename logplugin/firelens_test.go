package logplugin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/firelens"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

// fluentBit is what Fluent Bit 5.1.1 has sent for one configuration.
type fluentBit struct {
	Options  [][2]string `json:"options"`
	Input    string      `json:"input"`
	Requests []struct {
		Method, Path string
		Headers      [][2]string
		Status       int
		Body         string
		Gzip         []byte // in place of Body when that is not text
	} `json:"requests"`
	Extra    map[string]string // members that each record has besides those of every container
	Sent     []textOrBytes     // each message, where they are not in requests over HTTP
	Messages []struct {        // of the Forward protocol
		Tag     string
		Entries [][2]any // the time, which may have metadata with it, and the record
	}
}

// textOrBytes is a text that may not be UTF-8.
type textOrBytes struct {
	Text   string
	Base64 []byte
}

func (x textOrBytes) bytes() []byte {
	if x.Base64 != nil {
		return x.Base64
	}
	return []byte(x.Text)
}

// notUTF8 is the line in which some bytes are not UTF-8, in MessagePack, with its size.
var notUTF8 = regexp.MustCompile(`(?s).bad .{9,27}? tail`)

// long is what stands for a long line in the files.
var long = regexp.MustCompile(`<LONG(\d+)>`)

func readCapture(t *testing.T, name string, to any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "firelens", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	data = long.ReplaceAllFunc(data, func(m []byte) []byte {
		var n int
		_, _ = fmt.Sscanf(string(m), "<LONG%d>", &n)
		return bytes.Repeat([]byte("0123456789abcdef"), n/16+1)[:n]
	})
	if err := json.Unmarshal(data, to); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// fedRecords are the records that Fluent Bit was given, and the session that they are of.
func fedRecords(t *testing.T, input string) ([]router.Record, options.Info, string) {
	t.Helper()
	var file struct {
		Tag     string
		Records []struct {
			Time   [2]int64
			Record map[string]textOrBytes
		}
		Partials []struct {
			Time   [2]int64
			Record map[string]textOrBytes
		}
	}
	readCapture(t, "records", &file)
	var records []router.Record
	for _, r := range file.Records {
		line := []byte(r.Record["log"].Text)
		if b := r.Record["log"].Base64; b != nil {
			line = b
			if strings.Contains(input, "minus kind invalid_utf8") {
				continue
			}
		}
		records = append(records, router.Record{TimeNano: r.Time[0]*1e9 + r.Time[1], Source: []byte(r.Record["source"].Text), Line: line})
	}
	if strings.HasPrefix(input, "partials") {
		records = nil
		for _, r := range file.Partials {
			records = append(records, router.Record{TimeNano: r.Time[0]*1e9 + r.Time[1], Source: []byte("stdout"), Line: []byte(r.Record["log"].Text)})
		}
		records[0].Line = append(records[0].Line, records[1].Line...) // as package frame joins them
		records = records[:1]
	}
	first := file.Records[0].Record
	return records, options.Info{ContainerID: first["container_id"].Text, ContainerName: first["container_name"].Text}, file.Tag
}

// given makes log options of a capture's, with PORT replaced.
func (c fluentBit) given(host, tag string) map[string]string {
	config := map[string]string{"logDriver": firelens.Name, "tag": tag}
	for _, o := range c.Options {
		name := o[0]
		if _, twice := config[name]; twice {
			name = strings.ToLower(name)
		}
		value := strings.ReplaceAll(o[1], "PORT", host[strings.LastIndexByte(host, ':')+1:])
		if o := strings.ToLower(name); (o == "tls.ca_file" || o == "tls.verify") && slices.ContainsFunc(c.Options, func(o [2]string) bool { return o[0] == "region" }) {
			continue // the receiver has no TLS
		}
		if name == "endpoint" && !strings.Contains(value, "://") {
			value = "http://" + value
		}
		config[name] = strings.Replace(value, "https://", "http://", 1) // the receiver has no TLS
	}
	return config
}

// notAlike are the captures that are refused here, or differ, each with words of the difference that declares it. A name of "refused"
// is in the error.
var notAlike = map[string]struct{ declared, refused string }{
	"http-json":            {"a header Authorization are both sent", ""},
	"http-docker-partials": {"arrives in pieces", ""},
	"s3-put_object":        {"it is always that of the first line", ""},
	"datadog":              {"DD-EVP-ORIGIN", ""},
	"datadog-plain-gzip":   {"DD-EVP-ORIGIN", ""},
	"splunk":               {"/services/collector/event/1.0", ""},
	"splunk-raw":           {"/services/collector/event/1.0", ""},
	"loki":                 {"a label container_name is added", ""},
	"loki-drop-single":     {"the records of a stream stand together", ""},
	"nrlogs":               {"the attribute plugin", ""},

	"datadog-tag":          {"DD-EVP-ORIGIN", ""},
	"datadog-ecs":          {"DD-EVP-ORIGIN", ""},
	"splunk-event-key":     {"/services/collector/event/1.0", ""},
	"splunk-fields":        {"", "event_field is not supported"},
	"splunk-user":          {"", "give the token in splunk_token"},
	"loki-labels":          {"the records of a stream stand together", ""},
	"loki-meta":            {"JSON is always sent with gzip", ""},
	"loki-drop-raw":        {"JSON is always sent with gzip", ""},
	"loki-kv":              {"it is logfmt", ""},
	"loki-header":          {"", "give tenant_id, http_user or bearer_token"},
	"opentelemetry-sev":    {"", "the line is the body"},
	"opentelemetry-user":   {"", "give the header Authorization"},
	"es-logstash":          {"an id of its session", ""},
	"es-apikey":            {"an id of its session", ""},
	"es-prefixkey":         {"an id of its session", ""},
	"es-idkey":             {"", "each document gets an id of its session"},
	"opensearch-index-rec": {"", "write ${CONTAINER_NAME}"},

	"forward":                    {"retain_metadata_in_forward_mode", ""},
	"forward-ack":                {"retain_metadata_in_forward_mode", ""},
	"forward-fluentd_compat":     {"retain_metadata_in_forward_mode", ""},
	"forward-sharedkey-user-tls": {"retain_metadata_in_forward_mode", ""},

	"syslog-tcp-nothing": {"comes from an empty member", ""},
	"syslog-tcp-nokey":   {"messages are empty", ""},
	"gelf-udp":           {"a message of GELF has no host", ""},
	"gelf-udp-chunked":   {"a message of GELF has no host", ""},

	"kinesis_firehose-aggregation": {"each line is a record of its own", ""},

	"es":                  {"an id of its session", ""},
	"es-cloud_auth":       {"suppress_type_name is on", ""},
	"opensearch":          {"an id of its session", ""},
	"opentelemetry":       {"all members of the record but the line are lost", ""},
	"opentelemetry-valid": {"all members of the record but the line are lost", ""},
	"stdout-default":      {"", "use the log driver json-file"},
	"stdout-json_lines":   {"", "use the log driver json-file"},
}

// Whatever Fluent Bit has sent for a configuration, the same options send the same here, or the difference is declared.
func TestFireLensSendsWhatFluentBitSends(t *testing.T) {
	files, err := filepath.Glob("testdata/firelens/*.json")
	if err != nil || len(files) < 80 {
		t.Fatalf("%d captures, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		if name == "records" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			var c fluentBit
			readCapture(t, name, &c)
			compareCapture(t, name, c)
		})
	}
}

func compareCapture(t *testing.T, name string, c fluentBit) {
	declared := notAlike[name]
	if declared.declared != "" && !slices.ContainsFunc(firelens.Differences, func(d firelens.Difference) bool {
		return strings.Contains(d.FluentBit+" "+d.Here, declared.declared)
	}) {
		t.Errorf("no difference is declared with %q", declared.declared)
	}
	output := strings.ToLower(c.Options[0][1])
	_, served := firelens.Outputs()[output]
	status := http.StatusOK
	if len(c.Requests) > 0 {
		status = c.Requests[0].Status
	}
	receiver := routertest.StartReceiver(routertest.ReceiverOptions{Handle: func(w http.ResponseWriter, _ *http.Request, body []byte) {
		w.WriteHeader(status)
		switch output {
		case "splunk":
			_, _ = io.WriteString(w, `{"text":"Success","code":0}`)
		case "es", "opensearch":
			items := strings.Repeat(`,{"create":{"status":201}}`, bytes.Count(body, []byte("\n"))/2)
			_, _ = io.WriteString(w, `{"errors":false,"items":[`+strings.TrimPrefix(items, ",")+`]}`)
		}
	}})
	defer receiver.Close()
	records, info, tag := fedRecords(t, c.Input)
	info.ContainerLabels = c.Extra
	rules := &options.Rules{Kinds: Routers(), Hostname: "host"}
	o, err := rules.Parse(c.given(receiver.URL(), tag), info)
	switch {
	case !served && err == nil:
		t.Fatalf("output %s is accepted, and is not among those that are served", output)
	case !served || declared.refused != "":
		if err == nil || !strings.Contains(err.Error(), declared.refused) {
			t.Errorf("error %v, want %q", err, declared.refused)
		}
		return
	case err != nil:
		t.Fatal(err)
	case output == "logdna": // the receiver has no TLS, which this output always uses
		o.Plain["logdna-url"] = strings.Replace(o.Plain["logdna-url"], "https://", "http://", 1)
	}
	o.Attributes = c.Extra
	switch {
	case len(c.Sent) > 0:
		compareSent(t, name, o, info, records, c.Sent)
		return
	case output == "forward":
		compareForward(t, o, info, records, c)
		return
	case len(c.Requests) == 0:
		return // nothing is sent
	case output == "s3":
		compareObject(t, o, info, records, c)
		return
	}
	got := sendAll(t, o, info, records, receiver)
	want := received{path: c.Requests[0].Path, header: headersOf(c.Requests[0].Headers)}
	want.values = valuesOf(t, want.header.Get("Content-Type"), bodyOf(t, c.Requests[0].Body, c.Requests[0].Gzip))
	want.change(name)
	got.change(name)
	if got.path != want.path || !reflect.DeepEqual(got.header, want.header) {
		t.Errorf("request %s %v, want %s %v", got.path, got.header, want.path, want.header)
	}
	if !reflect.DeepEqual(got.values, want.values) {
		t.Errorf("body\n%s\nwant\n%s", show(got.values), show(want.values))
	}
}

// encodeAll makes a batch of the records as the router of o does.
func encodeAll(t *testing.T, o options.Options, info options.Info, records []router.Record) (router.Config, *router.Batch) {
	t.Helper()
	var kind router.Kind
	for _, k := range Routers() {
		if k.Name == o.Router {
			kind = k
		}
	}
	config, err := kind.New(router.Options{Plain: o.Plain})
	if err != nil {
		t.Fatal(err)
	}
	e, err := config.Encoder(t.Context(), router.Session{ContainerID: info.ContainerID, ContainerName: info.ContainerName, Tag: o.Tag, Host: "host", Attrs: o.Attributes})
	if err != nil {
		t.Fatal(err)
	}
	b := &router.Batch{}
	for i := range records {
		b.Append(e, &records[i])
	}
	return config, b
}

// publicConfig is a configuration that somebody has published.
type publicConfig struct {
	ID            string         `json:"id"`
	Options       map[string]any `json:"options"`
	SecretOptions any            `json:"secretOptions"`
	Partial       bool           `json:"partial"`
}

// logOpts are the log options that a person would write for it.
func (c publicConfig) logOpts(t *testing.T) map[string]string {
	t.Helper()
	given := map[string]string{"logDriver": firelens.Name}
	for name, value := range c.Options {
		given[name] = fmt.Sprint(value)
	}
	if c.SecretOptions != nil {
		list, err := json.Marshal(c.SecretOptions)
		if err != nil {
			t.Fatal(err)
		}
		given["secretOptions"] = string(list)
	}
	return given
}

// Each whole configuration that people have published is accepted, and the table says as what, or refused, and it says why.
func TestPublicFireLensConfigurations(t *testing.T) {
	data, err := os.ReadFile("testdata/firelens-public.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []publicConfig
	if err := json.Unmarshal(data, &all); err != nil || len(all) < 120 {
		t.Fatalf("%d configurations, %v", len(all), err)
	}
	rules := &options.Rules{Kinds: Routers(), Hostname: "host"}
	var b strings.Builder
	for _, c := range all {
		if c.Partial {
			continue
		}
		fmt.Fprintf(&b, "%s\n", c.ID)
		o, err := rules.Parse(c.logOpts(t), options.Info{ContainerID: strings.Repeat("0123456789abcdef", 4), ContainerName: "/web"})
		if err != nil {
			fmt.Fprintf(&b, "  refused: %v\n", err)
			continue
		}
		fmt.Fprintf(&b, "  %s %s, tag %s\n", o.Router, o.Address, o.Tag)
		for _, name := range slices.Sorted(maps.Keys(o.Plain)) {
			fmt.Fprintf(&b, "  %s = %s\n", name, o.Plain[name])
		}
		for _, name := range slices.Sorted(maps.Keys(o.References)) {
			fmt.Fprintf(&b, "  %s from %s\n", name, o.References[name])
		}
		for _, note := range o.Notes {
			fmt.Fprintf(&b, "  note: %s\n", note)
		}
	}
	const golden = "testdata/firelens-public.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || string(want) != b.String() {
		t.Errorf("%v; the table is now\n%s\nrun with -update and read the difference", err, b.String())
	}
}
