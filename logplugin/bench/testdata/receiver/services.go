package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"
)

// routes are the services over HTTP.
func (s *sink) routes(upstream string) *http.ServeMux {
	const media = "application/json"
	mux := http.NewServeMux()
	handle := func(path string, a answer) { mux.HandleFunc(path, s.collect(a)) }
	handle("/", answer{event, http.StatusOK, media, text(`{"text":"Success","code":0}`)})
	handle("/datadog/", answer{id, http.StatusAccepted, media, text("{}")})
	handle("/newrelic/", answer{id, http.StatusAccepted, media, text(`{"requestId":"0"}`)})
	handle("/newrelic", answer{id, http.StatusAccepted, media, text(`{"requestId":"0"}`)})
	handle("/http", answer{id, http.StatusOK, "text/plain", nil})
	handle("/http/", answer{id, http.StatusOK, "text/plain", nil})
	handle("/otlp/", answer{id, http.StatusOK, "application/x-protobuf", nil})
	handle("/loki/", answer{id, http.StatusNoContent, "", nil})
	handle("/logdna", answer{id, http.StatusOK, media, text("{}")})
	handle("/elasticsearch/", answer{id, http.StatusOK, media, created})
	object := s.collect(answer{id, http.StatusOK, "", nil})
	mux.HandleFunc("/s3/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"0"`) // S3 gives one to each object
		object(w, r)
	})
	aws := s.collect(answer{id, http.StatusOK, "application/x-amz-json-1.1", text(`{"nextSequenceToken":"x"}`)})
	mux.HandleFunc("/aws/", func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("X-Amz-Target"), "Logs_") {
			aws(w, r)
			return
		}
		s.records(w, r)
	})
	mux.HandleFunc("/hang/", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	if upstream != "" {
		mux.Handle("/victorialogs/", s.passOn(upstream))
	}
	mux.HandleFunc("/bench/counts", s.tell(false))
	mux.HandleFunc("/bench/marks", s.tell(true))
	mux.HandleFunc("/bench/reset", s.reset)
	return mux
}

// created is Elasticsearch's answer to a bulk request of which each line is taken. A compressed one has its lines counted
// twice, here and when somebody asks.
func created(body []byte) string {
	plain := body
	if bytes.HasPrefix(body, []byte("\x1f\x8b")) {
		var err error
		if plain, err = (packed{encoding: "gzip", body: body}).text(); err != nil {
			panic(err)
		}
	}
	const item = `,{"create":{"status":201}}`
	items := strings.Repeat(item, bytes.Count(plain, id))
	return `{"took":1,"errors":false,"items":[` + strings.TrimPrefix(items, ",") + `]}`
}

// records takes those of Firehose and of Kinesis, which hold any number of lines each.
func (s *sink) records(w http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	if err := read(&body, r); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var plain []byte
	for _, after := range bytes.Split(body.Bytes(), data)[1:] {
		_, after, _ = bytes.Cut(after, []byte(`"`))
		packed, _, _ := bytes.Cut(after, []byte(`"`))
		var err error
		if plain, err = base64.StdEncoding.AppendDecode(plain, packed); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	s.take(r, plain, id, time.Now())
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_, _ = io.WriteString(w, accepted(r.Header.Get("X-Amz-Target"), body.Bytes()))
}

// accepted is the answer of Firehose or of Kinesis to records that are taken.
func accepted(target string, body []byte) string {
	const item = `,{"RecordId":"0","SequenceNumber":"0","ShardId":"0"}`
	list := "Records"
	if strings.HasPrefix(target, "Firehose_") {
		list = "RequestResponses"
	}
	return fmt.Sprintf(`{"FailedPutCount":0,"FailedRecordCount":0,%q:[%s]}`, list, strings.TrimPrefix(strings.Repeat(item, bytes.Count(body, data)), ","))
}

// passOn gives what comes to another server too, and its answer back. What that server does not take is not counted.
func (s *sink) passOn(upstream string) http.Handler {
	u, err := url.Parse(upstream)
	if err != nil {
		panic(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }}
	return http.StripPrefix("/victorialogs", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at, body := time.Now(), new(bytes.Buffer)
		if err := read(body, r); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		line := event
		if strings.HasPrefix(r.URL.Path, "/insert/native") {
			line = id
		}
		text := bytes.Clone(body.Bytes())
		r.Body, r.ContentLength = io.NopCloser(body), int64(body.Len())
		a := &answered{ResponseWriter: w}
		proxy.ServeHTTP(a, r)
		if a.status/100 == 2 {
			s.take(r, text, line, at)
		}
	}))
}

// answered keeps the status of an answer.
type answered struct {
	http.ResponseWriter
	status int
}

func (a *answered) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}
