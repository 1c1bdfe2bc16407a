// Package lokitest is the push endpoint of a Loki in memory, for tests and benchmarks.
//
// It decodes pushes with Loki's own messages, or as JSON, checks them as Loki does with its default limits, answers with
// Loki's texts, and keeps what it has accepted: a push with bad entries is answered 400, and its other entries are stored.
// It refuses what a Loki refuses: https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs.
package lokitest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/snappy"

	"github.com/secretref/secretref/logplugin/router/routertest"
)

// Loki's default limits.
const (
	MaxLine      = 256 << 10
	MaxPush      = 4 << 20
	MaxLabels    = 15
	MaxAge       = 7 * 24 * time.Hour
	MaxAhead     = 10 * time.Minute
	MaxBehind    = time.Hour
	maxLabelName = 1024
	maxLabelText = 2048
)

// Options say what kind of Loki it is. The zero value takes every credential.
type Options struct {
	routertest.ReceiverOptions                  // all but Handle
	Auth                       []string         // values of the Authorization header that are good; nil = every one is
	Tenants                    []string         // nil = every tenant, and none
	NoMetadata                 bool             // structured metadata is disallowed
	Now                        func() time.Time // nil = time.Now
}

// Entry is one entry that was accepted.
type Entry struct {
	Labels   map[string]string
	Metadata map[string]string
	Time     time.Time
	Line     string
	Push     int // with which push it came
}

// Server is a running receiver.
type Server struct {
	*routertest.Receiver

	mu      sync.Mutex
	options Options
	entries []Entry
	newest  map[string]time.Time // of each stream
	pushes  int
}

// Start starts a receiver on a port of the loopback address.
func Start(o Options) *Server {
	s := &Server{options: o, newest: map[string]time.Time{}}
	if s.options.Now == nil {
		s.options.Now = time.Now
	}
	o.Handle = s.push
	s.Receiver = routertest.StartReceiver(o.ReceiverOptions)
	return s
}

// SetAuth makes these the only good values of the Authorization header.
func (s *Server) SetAuth(values ...string) {
	s.mu.Lock()
	s.options.Auth = values
	s.mu.Unlock()
}

// Entries returns what was accepted: by push, and in each by stream.
func (s *Server) Entries() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.entries)
}

func (s *Server) push(w http.ResponseWriter, r *http.Request, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tenant := r.Header.Get("X-Scope-OrgID")
	switch {
	case !strings.HasSuffix(r.URL.Path, "/loki/api/v1/push"):
		http.Error(w, "404 page not found", http.StatusNotFound)
		return
	case r.Method != http.MethodPost:
		http.Error(w, "", http.StatusMethodNotAllowed)
		return
	case s.options.Auth != nil && !slices.Contains(s.options.Auth, r.Header.Get("Authorization")):
		http.Error(w, "invalid credentials", http.StatusUnauthorized)
		return
	case s.options.Tenants != nil && !slices.Contains(s.options.Tenants, tenant):
		http.Error(w, "no org id", http.StatusUnauthorized)
		return
	}
	streams, size, err := decode(r.Header.Get("Content-Type"), body)
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	case len(streams) == 0:
		http.Error(w, "error at least one valid stream is required for ingestion", http.StatusUnprocessableEntity)
	case size > MaxPush:
		http.Error(w, fmt.Sprintf("rpc error: code = ResourceExhausted desc = grpc: received message larger than max (%d vs. %d)", size, MaxPush), http.StatusInternalServerError)
	default:
		s.store(w, tenant, streams)
	}
}

// stream is one stream of a push, in either encoding.
type stream struct {
	labels  map[string]string
	entries []Entry
}

func decode(contentType string, body []byte) (streams []stream, size int, err error) {
	if contentType == "application/json" {
		streams, err = decodeJSON(body)
		return streams, len(body), err
	}
	if contentType != "application/x-protobuf" {
		return nil, 0, fmt.Errorf("unknown content type %q", contentType)
	}
	if size, err = snappy.DecodedLen(body); err != nil || size > 16*MaxPush {
		return nil, 0, errors.New("snappy: corrupt input")
	}
	plain, err := snappy.Decode(nil, body)
	if err != nil {
		return nil, 0, err
	}
	var p push.PushRequest
	if err := p.Unmarshal(plain); err != nil {
		return nil, 0, err
	}
	for _, from := range p.Streams {
		labels, err := parseLabels(from.Labels)
		if err != nil {
			return nil, 0, fmt.Errorf("error parsing labels '%s' with error: %w", from.Labels, err)
		}
		to := stream{labels: labels}
		for _, e := range from.Entries {
			entry := Entry{Labels: labels, Metadata: map[string]string{}, Time: e.Timestamp, Line: e.Line}
			for _, m := range e.StructuredMetadata {
				entry.Metadata[m.Name] = m.Value
			}
			to.entries = append(to.entries, entry)
		}
		streams = append(streams, to)
	}
	return streams, size, nil
}

func decodeJSON(body []byte) (streams []stream, err error) {
	var p struct {
		Streams []struct {
			Stream map[string]string
			Values [][]json.RawMessage
		}
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return nil, err
	}
	for _, from := range p.Streams {
		to := stream{labels: from.Stream}
		for _, v := range from.Values {
			var nano string
			e := Entry{Labels: from.Stream, Metadata: map[string]string{}}
			if len(v) < 2 || len(v) > 3 {
				return nil, fmt.Errorf("a value of %d elements", len(v))
			}
			err := errors.Join(json.Unmarshal(v[0], &nano), json.Unmarshal(v[1], &e.Line))
			if len(v) == 3 {
				err = errors.Join(err, json.Unmarshal(v[2], &e.Metadata))
			}
			n, numberErr := strconv.ParseInt(nano, 10, 64)
			if err = errors.Join(err, numberErr); err != nil {
				return nil, err
			}
			e.Time = time.Unix(0, n)
			to.entries = append(to.entries, e)
		}
		streams = append(streams, to)
	}
	return streams, nil
}

var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// parseLabels reads {name="value", name="value"}.
func parseLabels(text string) (map[string]string, error) {
	rest, ok := strings.CutPrefix(text, "{")
	if !ok {
		return nil, errors.New("no brace at the beginning")
	}
	labels := map[string]string{}
	for rest != "}" {
		name, after, ok := strings.Cut(rest, "=")
		if !ok || !labelName.MatchString(name) {
			return nil, fmt.Errorf("bad name %q", name)
		}
		quoted, err := strconv.QuotedPrefix(after)
		if err != nil {
			return nil, err
		}
		if labels[name], err = strconv.Unquote(quoted); err != nil {
			return nil, err
		}
		rest = strings.TrimPrefix(after[len(quoted):], ", ")
	}
	return labels, nil
}

// store stores the entries that Loki would, and answers.
func (s *Server) store(w http.ResponseWriter, tenant string, streams []stream) {
	refusals := map[string]int{}
	behind := ""
	s.pushes++
	for _, st := range streams {
		name := fmt.Sprint(slices.Sorted(maps.Keys(st.labels)), st.labels)
		if why := checkLabels(name, st.labels); why != "" {
			refusals[why]++
			continue
		}
		ignored := 0
		for _, e := range st.entries {
			if why := s.check(name, e); why != "" {
				refusals[why]++
				continue
			}
			newest := s.newest[name]
			if e.Time.Before(newest.Add(-MaxBehind)) {
				ignored++
				behind = fmt.Sprintf("entry with timestamp %v ignored, reason: 'entry too far behind, entry timestamp is: %v, oldest acceptable timestamp is: %v',\n"+
					"user '%s', total ignored: %d out of %d for stream: %s", e.Time, e.Time.Format(time.RFC3339), newest.Add(-MaxBehind).Format(time.RFC3339), tenant, ignored, len(st.entries), name)
				continue
			}
			if e.Time.After(newest) {
				s.newest[name] = e.Time
			}
			e.Push = s.pushes
			s.entries = append(s.entries, e)
		}
	}
	switch {
	case behind != "":
		http.Error(w, behind, http.StatusBadRequest)
	case len(refusals) > 0:
		http.Error(w, grouped(refusals), http.StatusBadRequest)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

func (s *Server) check(name string, e Entry) string {
	now := s.options.Now()
	switch {
	case e.Time.Before(now.Add(-MaxAge)):
		return fmt.Sprintf("entry for stream '%s' has timestamp too old: %v, oldest acceptable timestamp is: %v", name, e.Time.Format(time.RFC3339), now.Add(-MaxAge).Format(time.RFC3339))
	case e.Time.After(now.Add(MaxAhead)):
		return fmt.Sprintf("entry for stream '%s' has timestamp too new: %v", name, e.Time.Format(time.RFC3339))
	case len(e.Line) > MaxLine:
		return fmt.Sprintf("max entry size '%d' bytes exceeded for stream '%s' while adding an entry with length '%d' bytes", MaxLine, name, len(e.Line))
	case s.options.NoMetadata && len(e.Metadata) > 0:
		return fmt.Sprintf("stream '%s' includes structured metadata, but this feature is disallowed. Please see `limits_config.allow_structured_metadata` or contact your Loki administrator to enable it", name)
	}
	return ""
}

func checkLabels(name string, labels map[string]string) string {
	switch {
	case len(labels) == 0:
		return "error at least one label pair is required per stream"
	case len(labels) > MaxLabels:
		return fmt.Sprintf("entry for stream '%s' has %d label names; limit %d", name, len(labels), MaxLabels)
	}
	for n, v := range labels {
		switch {
		case !labelName.MatchString(n):
			return fmt.Sprintf("error parsing labels '%s' with error: bad name", name)
		case len(n) > maxLabelName:
			return fmt.Sprintf("stream '%s' has label name too long: '%s'", name, n)
		case len(v) > maxLabelText:
			return fmt.Sprintf("stream '%s' has label value too long: '%s'", name, v)
		}
	}
	return ""
}

// grouped writes errors as Loki does.
func grouped(refusals map[string]int) string {
	var parts []string
	for why, n := range refusals {
		if len(refusals) > 1 || n > 1 {
			why = fmt.Sprintf("%d errors like: %s", n, why)
		}
		parts = append(parts, why)
	}
	return strings.Join(parts, "; ")
}
