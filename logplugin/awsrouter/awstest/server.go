// Package awstest has services of AWS in memory, for tests and benchmarks of the routers to them, written from AWS's documentation:
// CloudWatch Logs, Firehose and Kinesis. They take and refuse what that says, and keep what they have accepted. Every signature is
// verified.
package awstest

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/config"
)

// Key is a pair of credentials.
type Key struct{ ID, Secret string }

// Keys that a server takes at first, and that a test may rotate to.
var (
	Old = Key{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
	New = Key{"AKIAI44QH8DHBEXAMPLE", "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY"}
)

// Region of all tests.
const Region = "eu-west-1"

// Answer is what a service says to one call.
type Answer struct {
	Code    string // of an error; "" = there is none
	Message string
	Status  int // of an error; 0 = 400
	Body    any
	// InHeader says that the code stands in a header alone, and that the body is empty.
	InHeader bool
	// Cut says that the call is carried out, and the connection ends without an answer.
	Cut bool
}

// Use is one action on one resource, as IAM is asked whether it is allowed.
type Use struct{ Action, Resource string }

// Server is a service with faults on demand.
type Server struct {
	*routertest.Receiver
	service string
	target  string
	handle  func(operation string, body []byte) Answer

	mu      sync.Mutex
	key     Key
	ahead   time.Duration // how much its clock is ahead
	denied  map[string]bool
	answers []Answer // to the next calls, in place of what handle says
	calls   []string // operations that were called
	used    map[Use]bool
	rates   map[string]*rate // by operation
	behind  string           // the URL of who does the work; "" = this server
}

func start(target string, handle func(operation string, body []byte) Answer) *Server {
	service, _, _ := strings.Cut(strings.ToLower(target), "_") // as signatures name it
	s := &Server{service: service, target: target, handle: handle, key: Old, denied: map[string]bool{}, used: map[Use]bool{}, rates: map[string]*rate{}}
	s.Receiver = routertest.StartReceiver(routertest.ReceiverOptions{Handle: s.serve})
	return s
}

// SetKey makes this the only good key.
func (s *Server) SetKey(k Key) {
	s.mu.Lock()
	s.key = k
	s.mu.Unlock()
}

// SetAhead moves the server's clock.
func (s *Server) SetAhead(d time.Duration) {
	s.mu.Lock()
	s.ahead = d
	s.mu.Unlock()
}

// Deny makes the server refuse an operation.
func (s *Server) Deny(operation string, denied bool) {
	s.mu.Lock()
	s.denied[operation] = denied
	s.mu.Unlock()
}

// rate is how many calls of an operation are carried out in a row before one is throttled.
type rate struct{ most, done int }

// Throttle makes the server throttle a call of an operation, carry n of them out, throttle one, and so on.
func (s *Server) Throttle(operation string, n int) {
	s.mu.Lock()
	s.rates[operation] = &rate{most: n, done: n}
	s.mu.Unlock()
}

// Say makes the server give these answers to the next calls.
func (s *Server) Say(answers ...Answer) {
	s.mu.Lock()
	s.answers = append(s.answers, answers...)
	s.mu.Unlock()
}

// Used returns what IAM would have been asked for, each once, whatever became of it.
func (s *Server) Used() []Use {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.used))
}

// account is that of all resources.
const account = "111122223333"

// uses are what a call with a good signature asks of IAM. CloudWatch Logs asks for an operation on a group as for one on a stream of it
// without a name, and asks for the tags of a group that is created, too.
func (s *Server) uses(operation string, body []byte) []Use {
	var names struct {
		LogGroupName, LogStreamName, DeliveryStreamName, StreamName string
		Tags                                                        map[string]string
	}
	_ = json.Unmarshal(body, &names) // what is not JSON names nothing
	resource := ""
	switch {
	case names.DeliveryStreamName != "":
		resource = "deliverystream/" + names.DeliveryStreamName
	case names.StreamName != "":
		resource = "stream/" + names.StreamName
	default:
		resource = "log-group:" + names.LogGroupName + ":log-stream:" + names.LogStreamName
	}
	resource = "arn:aws:" + s.service + ":" + Region + ":" + account + ":" + resource
	all := []Use{{s.service + ":" + operation, resource}}
	if operation == "CreateLogGroup" && len(names.Tags) > 0 {
		all = append(all, Use{s.service + ":TagResource", resource})
	}
	return all
}

// Calls returns the operations that were called with a good signature.
func (s *Server) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.calls...)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Date", time.Now().Add(s.ahead).UTC().Format(http.TimeFormat))
	w.Header().Set("X-Amzn-RequestId", "c6af9ac6-7b61-11e6-9a41-93e8deadbeef")
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	a := s.answer(r, body)
	if a.Cut {
		panic(http.ErrAbortHandler)
	}
	if a.InHeader {
		w.Header().Set("X-Amzn-Errortype", a.Code+":http://internal.amazon.com/coral/com.amazon.coral.availability/")
	}
	if a.Code != "" {
		w.WriteHeader(cmp.Or(a.Status, http.StatusBadRequest))
		if a.Body = nil; !a.InHeader {
			a.Body = map[string]string{"__type": a.Code, "message": a.Message}
		}
	}
	if a.Body != nil {
		_ = json.NewEncoder(w).Encode(a.Body)
	}
}

func (s *Server) answer(r *http.Request, body []byte) Answer {
	operation, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), s.target)
	switch {
	case !ok || r.Method != http.MethodPost || r.URL.Path != "/" || r.Header.Get("Content-Type") != "application/x-amz-json-1.1":
		return Answer{Code: "UnknownOperationException"}
	}
	if code := s.authenticate(r, body); code != "" {
		return Answer{Code: code, Message: "The security token included in the request is invalid: " + r.Header.Get("Authorization")}
	}
	s.calls = append(s.calls, operation)
	for _, use := range s.uses(operation, body) {
		s.used[use] = true
	}
	if s.denied[operation] {
		return Answer{Code: "AccessDeniedException", Message: "User: arn:aws:iam::111122223333:user/host is not authorized to perform: " + s.service + ":" + operation}
	}
	if r := s.rates[operation]; r != nil {
		if r.done == r.most {
			r.done = 0
			return Answer{Code: "ThrottlingException", Message: "Rate exceeded"}
		}
		r.done++
	}
	if len(s.answers) > 0 {
		a := s.answers[0]
		s.answers = s.answers[1:]
		if a.Code != "" || a.Body != nil {
			return a
		}
		if a.Cut {
			a.Cut = s.handle(operation, body).Code == ""
			return a
		}
	}
	return s.handle(operation, body)
}

// authenticate makes the signature again, and returns the code of what is wrong with it.
func (s *Server) authenticate(r *http.Request, body []byte) string {
	given := r.Header.Get("Authorization")
	credential, _, _ := strings.Cut(strings.TrimPrefix(given, "AWS4-HMAC-SHA256 Credential="), "/")
	if credential != s.key.ID {
		return "UnrecognizedClientException"
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if d := time.Since(at) + s.ahead; err != nil || d > 5*time.Minute || d < -5*time.Minute {
		return "InvalidSignatureException"
	}
	again, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+r.Host+r.URL.EscapedPath(), bytes.NewReader(body))
	if err != nil {
		return "IncompleteSignature"
	}
	again.ContentLength = r.ContentLength // of the body as it came
	_, signed, _ := strings.Cut(given, "SignedHeaders=")
	signed, _, _ = strings.Cut(signed, ",")
	for name := range strings.SplitSeq(signed, ";") {
		if v := r.Header.Get(name); v != "" {
			again.Header.Set(name, v)
		}
	}
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	isObject := s.service == "s3"
	if given := r.Header.Get("X-Amz-Content-Sha256"); isObject && r.Header.Get("Content-Encoding") != "" {
		hash = given // of the body as it came, which is not kept
	} else if isObject && given != hash {
		return "XAmzContentSHA256Mismatch"
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = isObject })
	err = signer.SignHTTP(r.Context(), aws.Credentials{AccessKeyID: s.key.ID, SecretAccessKey: s.key.Secret}, again, hash, s.service, Region, at)
	if err != nil || again.Header.Get("Authorization") != given {
		return "InvalidSignatureException"
	}
	return ""
}

// Home gives this process the credentials of a file that a test can write anew, and none else.
type Home struct {
	t    testing.TB
	file string
}

// NewHome makes one with the key Old. Services are those at these addresses.
func NewHome(t testing.TB) *Home {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, value, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, value) // so that it comes back
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	h := &Home{t, filepath.Join(t.TempDir(), "credentials")}
	t.Setenv("AWS_CONFIG_FILE", h.file+".none")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", h.file)
	h.Write(Old)
	return h
}

// Write writes the credentials.
func (h *Home) Write(k Key) {
	h.t.Helper()
	if err := os.WriteFile(h.file, []byte("[default]\naws_access_key_id = "+k.ID+"\naws_secret_access_key = "+k.Secret+"\n"), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// Session returns a session of this process whose services are all at one address.
func (h *Home) Session(url string) *awsconf.Session {
	return awsconf.New(config.AWS{Region: Region, EndpointURL: url}, "test", "1")
}
