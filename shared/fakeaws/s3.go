package fakeaws

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"
)

// Object is an object of S3. Its bucket is there as long as an object is in it.
type Object struct {
	Bucket    string `json:"bucket"`
	Key       string `json:"key"`
	Body      string `json:"body"`
	Region    string `json:"region,omitempty"` // of the bucket; "" = the server's
	VersionID string `json:"versionId,omitempty"`
	KMS       string `json:"kms,omitempty"`  // ARN of the key that the caller needs kms:Decrypt for; "" = none
	SSEC      bool   `json:"ssec,omitempty"` // encrypted with a key that only the writer has
}

// PutObject adds or replaces an object, and returns its ARN.
func (s *Server) PutObject(o Object) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	o.Region = or(o.Region, s.region)
	s.objects[o.Bucket+"/"+o.Key] = o
	return o.arn()
}

// RemoveObject removes an object.
func (s *Server) RemoveObject(bucket, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, bucket+"/"+key)
}

func (o Object) arn() string { return "arn:" + partition(o.Region) + ":s3:::" + o.Bucket + "/" + o.Key }

// etag is as opaque as S3 says that it is: there, it is the MD5 of some objects.
func (o Object) etag() string { return `"` + hexHash([]byte(o.arn() + o.Body))[:32] + `"` }

// objectRequest is what of a request to S3 is not in its signature. The bucket is in the path.
type objectRequest struct{ method, path, ifNoneMatch string }

func (s *Server) getObject(r *request) (any, error) {
	bucket, _, _ := strings.Cut(r.object.path, "/")
	name := "arn:" + partition(or(r.region, s.region)) + ":s3:::" + r.object.path
	r.call.Resources = []string{name}
	if r.object.method != http.MethodGet {
		return nil, &apiError{"MethodNotAllowed", "The specified method is not allowed against this resource.", http.StatusMethodNotAllowed}
	}
	there := false
	for _, o := range s.objects {
		if o.Bucket != bucket {
			continue
		}
		if there = true; o.Region != r.region {
			return nil, &apiError{permanentRedirect + o.Region, "The bucket you are attempting to access must be addressed using the specified endpoint. " +
				"Please send all future requests to this endpoint.", http.StatusMovedPermanently}
		}
	}
	if !there {
		return nil, &apiError{"NoSuchBucket", "The specified bucket does not exist", http.StatusNotFound}
	}
	if err := s.authorize(r, "s3:GetObject", name); err != nil {
		return nil, deniedByS3(err)
	}
	o, ok := s.objects[r.object.path]
	switch {
	case !ok && s.authorize(r, "s3:ListBucket", "arn:"+partition(r.region)+":s3:::"+bucket) != nil:
		return nil, &apiError{"AccessDenied", "Access Denied", http.StatusForbidden}
	case !ok:
		return nil, &apiError{"NoSuchKey", "The specified key does not exist.", http.StatusNotFound}
	case o.SSEC:
		return nil, &apiError{"InvalidRequest", "The object was stored using a form of Server Side Encryption. The correct parameters must be " +
			"provided to retrieve the object.", http.StatusBadRequest}
	case o.KMS != "":
		if err := s.authorize(r, "kms:Decrypt", o.KMS); err != nil {
			return nil, deniedByS3(err)
		}
	}
	r.call.NotModified = o.etag() == r.object.ifNoneMatch
	return gotObject{o, r.call.NotModified}, nil
}

// permanentRedirect begins the code of an answer for a bucket elsewhere; the region follows it.
const permanentRedirect = "PermanentRedirect "

func deniedByS3(err error) error {
	return &apiError{"AccessDenied", err.(*apiError).message, http.StatusForbidden}
}

// gotObject is the answer to GetObject.
type gotObject struct {
	Object
	same bool
}

func encodeObject(out any, err error) answer {
	a := answer{status: http.StatusOK, contentType: "binary/octet-stream", header: http.Header{"X-Amz-Request-Id": {randomText(16)}}}
	if err != nil {
		return encodeS3Error(a, err.(*apiError))
	}
	o := out.(gotObject)
	a.header.Set("ETag", o.etag())
	if o.VersionID != "" {
		a.header.Set("X-Amz-Version-Id", o.VersionID)
	}
	if o.same {
		a.status = http.StatusNotModified
		return a
	}
	a.body = []byte(o.Body)
	return a
}

func encodeS3Error(a answer, e *apiError) answer {
	code, region, redirected := strings.Cut(queryCode(e.code), " ")
	if redirected {
		a.header.Set("X-Amz-Bucket-Region", region)
	}
	switch a.status = e.status; {
	case code == "Throttling":
		code, a.status = "SlowDown", http.StatusServiceUnavailable
	case a.status == 0:
		a.status = http.StatusForbidden
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>", code)
	_ = xml.EscapeText(&b, []byte(e.message)) // a bytes.Buffer takes all
	b.WriteString("</Message><RequestId>" + randomText(16) + "</RequestId></Error>")
	a.contentType, a.body = "application/xml", b.Bytes()
	return a
}
