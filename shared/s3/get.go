// Package s3 reads objects of Amazon S3 that hold a secret.
//
// It makes one kind of request, GetObject, with the SDK's signer and net/http: the SDK's own client would add a megabyte to a
// program for it. An object that lies in another region than the one that is asked is asked for once more there, and the region
// is remembered for its bucket. At most MaxObject bytes are read. A caller that gives the ETag of what it has gets NotModified
// when that is still the object.
//
// Errors are *fault.Error. They never hold what an object holds.
package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/secret"
	"github.com/secretref/secretref/shared/secretref"
)

// MaxObject is the largest object that is read, in bytes.
const MaxObject = 1 << 20

// maxETag bounds the ETag and the version that are kept. Those of S3 have at most 1024 bytes.
const maxETag = 1024

// maxRegions bounds for how many buckets a region is remembered.
const maxRegions = 1000

// emptyHash is the SHA-256 of the body of a GET.
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// Request asks for one object.
type Request struct {
	Partition, Bucket, Key string
	Region                 string // where to ask first, unless the bucket is known to be elsewhere
	Role                   config.Role
	ETag                   string // of what the caller has; "" = it has nothing
}

// Object is the answer to a Request.
type Object struct {
	Text        secret.Value
	ETag        string // it may be made of the text, so it is not for others' eyes
	VersionID   string // "" in a bucket without versions
	NotModified bool   // what the caller has is still the object; Text is not set
}

// Client reads objects. It is safe for concurrent use.
type Client struct {
	session *awsconf.Session
	signer  *v4.Signer

	mu      sync.Mutex
	regions map[string]string // by partition and bucket, of those that are not where they were asked for
}

// New returns a Client that reaches S3 as session says.
func New(session *awsconf.Session) *Client {
	return &Client{
		session: session,
		signer:  v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }),
		regions: map[string]string{},
	}
}

// Get reads an object.
func (c *Client) Get(ctx context.Context, q Request) (Object, error) {
	region := q.Region
	place := q.Partition + " " + q.Bucket
	c.mu.Lock()
	if known := c.regions[place]; known != "" {
		region = known
	}
	c.mu.Unlock()
	s, err := c.session.Service(ctx, "S3", q.Region, awsconf.Identity{Role: q.Role})
	if err != nil {
		return Object{}, err
	}
	o, err := c.retried(ctx, s, q, region)
	if there := regionOf(err); there != "" && there != region && awsconf.PartitionOf(there).Name == q.Partition {
		region = there
		if o, err = c.retried(ctx, s, q, region); regionOf(err) == "" {
			c.remember(place, region)
		}
	}
	if err != nil {
		return Object{}, explain(ctx, q, region, err)
	}
	return o, nil
}

func (c *Client) remember(place, region string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.regions) >= maxRegions {
		clear(c.regions)
	}
	c.regions[place] = region
}

// retried asks a region, and again as the SDK's clients do.
func (c *Client) retried(ctx context.Context, s awsconf.Service, q Request, region string) (Object, error) {
	for attempt := 1; ; attempt++ {
		o, err := c.try(ctx, s, q, region)
		if err == nil || attempt >= s.Retryer.MaxAttempts() || !s.Retryer.IsErrorRetryable(err) {
			return o, err
		}
		delay, derr := s.Retryer.RetryDelay(attempt, err)
		if derr != nil {
			return o, err
		}
		t := time.NewTimer(delay)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return o, err
		}
	}
}

// try makes one request.
func (c *Client) try(ctx context.Context, s awsconf.Service, q Request, region string) (Object, error) {
	url, err := address(s, q, region)
	if err != nil {
		return Object{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return Object{}, &fault.Error{Kind: fault.BadReference, Cause: "the address of S3 is not a URL", Hint: "see endpoint_url under [aws]"}
	}
	r.Header.Set("X-Amz-Content-Sha256", emptyHash)
	if q.ETag != "" {
		r.Header.Set("If-None-Match", q.ETag)
	}
	if err := c.signer.SignHTTP(ctx, s.Credentials, r, emptyHash, "s3", region, time.Now()); err != nil {
		return Object{}, err
	}
	r.Header.Set("User-Agent", s.UserAgent)
	r.Header.Set("Accept-Encoding", "identity") // the object as it is stored; it may be signed by nobody on the way
	res, err := s.Client.Do(r)
	if err != nil {
		return Object{}, err
	}
	awsconf.EndSwitched(res)
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotModified && q.ETag != "":
		return Object{NotModified: true}, nil
	case res.StatusCode == http.StatusOK:
		return read(res)
	}
	return Object{}, refusal(res, region)
}

// read reads an answer that holds an object.
func read(res *http.Response) (Object, error) {
	o := Object{ETag: res.Header.Get("ETag"), VersionID: res.Header.Get("X-Amz-Version-Id")}
	switch {
	case !isS3(res.Header):
		return Object{}, awsconf.NotAWS()
	case res.ContentLength > MaxObject:
		return Object{}, tooLarge()
	case o.VersionID == "null" || len(o.VersionID) > maxETag: // an object from before the bucket had versions
		o.VersionID = ""
	}
	if len(o.ETag) > maxETag {
		o.ETag = ""
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, MaxObject+1))
	switch {
	case err != nil:
		return Object{}, &cutError{res.Request.URL.Host, err}
	case len(text) > MaxObject:
		return Object{}, tooLarge()
	case len(text) == 0:
		return Object{}, &fault.Error{Kind: fault.BadValue, Cause: "the object is empty", Hint: "put a value into it"}
	case !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0:
		return Object{}, &fault.Error{Kind: fault.BadValue, Cause: "the object is binary", Hint: "store it as text in UTF-8, not compressed"}
	}
	o.Text = secret.New(string(text))
	return o, nil
}

// isS3 reports whether an answer has the headers that S3, and what speaks its protocol, gives with every object.
func isS3(h http.Header) bool {
	if h.Get("ETag") == "" {
		return false
	}
	for name := range h {
		if strings.HasPrefix(name, "X-Amz") {
			return true
		}
	}
	return false
}

func tooLarge() error {
	return &fault.Error{Kind: fault.BadValue, Cause: fmt.Sprintf("the object has more than %d KiB", MaxObject>>10), Hint: "does the reference name the right object?"}
}

// cutError is an answer that ended before its end.
type cutError struct {
	host string
	err  error
}

func (e *cutError) Error() string { return "read the answer of " + e.host + ": " + e.err.Error() }
func (e *cutError) Unwrap() error { return e.err }

// RetryableError makes the SDK's retryer take a cut answer for one that may come whole the next time.
func (e *cutError) RetryableError() bool { return true }

// regionOf returns the region in which a bucket is, when err says that it was asked for in another.
func regionOf(err error) string {
	var e *elsewhereError
	if errors.As(err, &e) && secretref.IsRegion(e.region) {
		return e.region
	}
	return ""
}
