package awstest

import (
	"crypto/md5" //nolint:gosec // S3 wants this one
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/secretref/secretref/logplugin/router/routertest"
)

// Object is an object of a bucket.
type Object struct {
	Key    string
	Body   string      // without its encoding
	Header http.Header // of the request that has stored it
	Puts   int         // how often it was stored
}

// Objects is Amazon S3 with one bucket, which takes objects and gives none.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
type Objects struct {
	*Server
	bucket string

	mu      sync.Mutex
	objects []*Object // in the order in which they were first stored
	bodies  []string  // that were stored, also those that others have replaced
	refuse  []Refusal // to the next requests
}

// Refusal is an error of S3.
type Refusal struct {
	Status        int
	Code, Message string
	Region        string // "" = none is named
}

// StartS3 starts S3.
func StartS3(bucket string) *Objects {
	s := &Objects{Server: &Server{service: "s3", key: Old, denied: map[string]bool{}, used: map[Use]bool{}}, bucket: bucket}
	s.Receiver = routertest.StartReceiver(routertest.ReceiverOptions{Handle: s.take})
	return s
}

// Refuse makes it answer the next requests, in place of what it would say.
func (s *Objects) Refuse(all ...Refusal) {
	s.mu.Lock()
	s.refuse = append(s.refuse, all...)
	s.mu.Unlock()
}

// Stored returns the objects, in the order in which they were first stored.
func (s *Objects) Stored() (all []Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.objects {
		all = append(all, *o)
	}
	return all
}

// Lines returns the lines of all objects.
func (s *Objects) Lines() (all []string) {
	for _, o := range s.Stored() {
		all = append(all, linesIn(o.Body)...)
	}
	return all
}

// Sent returns the lines of all that was stored, in order, also of objects that others have replaced.
func (s *Objects) Sent() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, body := range s.bodies {
		all = append(all, linesIn(body)...)
	}
	return all
}

func linesIn(body string) (all []string) {
	for line := range strings.Lines(body) {
		all = append(all, strings.TrimSuffix(line, "\n"))
	}
	return all
}

func (s *Objects) take(w http.ResponseWriter, r *http.Request, body []byte) {
	s.Server.mu.Lock()
	w.Header().Set("Date", time.Now().Add(s.ahead).UTC().Format(http.TimeFormat))
	s.Server.mu.Unlock()
	w.Header().Set("X-Amz-Request-Id", "4442587FB7D0A2F9")
	if no := s.put(r, body); no != nil {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(no.Status)
		fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message><Region>%s</Region><RequestId>4442587FB7D0A2F9</RequestId></Error>", no.Code, no.Message, no.Region)
		return
	}
	sum := md5.Sum(body) //nolint:gosec // as S3 has it
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:])+`"`)
}

// check looks at who asks, and returns the code of what is wrong with that.
func (s *Objects) check(r *http.Request, body []byte, path string) string {
	s.Server.mu.Lock()
	defer s.Server.mu.Unlock()
	switch code := s.authenticate(r, body); code {
	case "":
	case "UnrecognizedClientException":
		return "InvalidAccessKeyId"
	case "InvalidSignatureException":
		return "SignatureDoesNotMatch"
	default:
		return code
	}
	if s.used[Use{"s3:PutObject", "arn:aws:s3:::" + path}] = true; s.denied["PutObject"] {
		return "AccessDenied"
	}
	return ""
}

var storageClass = regexp.MustCompile(`^(STANDARD|STANDARD_IA|ONEZONE_IA|INTELLIGENT_TIERING|GLACIER|GLACIER_IR|DEEP_ARCHIVE|REDUCED_REDUNDANCY)?$`)

// put stores an object; nil means that it is stored.
func (s *Objects) put(r *http.Request, body []byte) *Refusal {
	path, ok := strings.CutPrefix(r.URL.Path, "/")
	bucket, key, isObject := strings.Cut(path, "/")
	code := s.check(r, body, path)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(s.refuse) > 0:
		no := s.refuse[0]
		s.refuse = s.refuse[1:]
		return &no
	case code != "":
		return &Refusal{403, code, "The request is refused: " + r.Header.Get("Authorization"), ""}
	case !ok || !isObject || key == "" || r.Method != http.MethodPut:
		return &Refusal{405, "MethodNotAllowed", "The specified method is not allowed against this resource.", ""}
	case bucket != s.bucket:
		return &Refusal{404, "NoSuchBucket", "The specified bucket does not exist", ""}
	case len(key) > 1024:
		return &Refusal{400, "KeyTooLongError", "Your key is too long", ""}
	case !storageClass.MatchString(r.Header.Get("X-Amz-Storage-Class")):
		return &Refusal{400, "InvalidStorageClass", "The storage class you specified is not valid", ""}
	}
	sum := md5.Sum(body) //nolint:gosec // as S3 has it
	if given := r.Header.Get("Content-Md5"); given != "" && r.Header.Get("Content-Encoding") == "" && given != base64.StdEncoding.EncodeToString(sum[:]) {
		return &Refusal{400, "BadDigest", "The Content-MD5 you specified did not match what we received.", ""}
	}
	i := slices.IndexFunc(s.objects, func(o *Object) bool { return o.Key == key })
	if i < 0 {
		i = len(s.objects)
		s.objects = append(s.objects, &Object{Key: key})
	}
	s.bodies = append(s.bodies, string(body))
	o := s.objects[i]
	o.Body, o.Header, o.Puts = string(body), r.Header.Clone(), o.Puts+1
	return nil
}
