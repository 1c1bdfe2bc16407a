package awsrouter

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"

	"github.com/secretref/secretref/logplugin/router"
)

// objects is the name of S3, which has a protocol of its own.
const objects = "s3"

// Object is one object to be stored.
type Object struct {
	Bucket, Key string
	Header      http.Header // besides those of the request; it is changed
	Body        []byte      // it is not read any more when Put has returned
}

// Put stores an object in S3, in place of one that has the same key. It returns nil when S3 has it.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
func (u *Use) Put(ctx context.Context, op string, o Object) *Refusal {
	sum := sha256.Sum256(o.Body)
	hash := hex.EncodeToString(sum[:])
	path := "/" + o.Bucket + "/" + escapeKey(o.Key)
	_, no := u.twice(func() (router.Answer, *router.Error) {
		target, err := url.Parse(u.base + path)
		if err != nil {
			return router.Answer{}, u.client.wrong("the address of the service is not a URL")
		}
		r := &http.Request{Method: http.MethodPut, URL: target, Host: target.Host, Header: o.Header.Clone(), ContentLength: int64(len(o.Body))}
		r.Header.Set("X-Amz-Content-Sha256", hash)
		if failed := u.sign(ctx, r, hash); failed != nil {
			return router.Answer{}, failed
		}
		return u.do(ctx, router.Request{Op: op, Method: r.Method, Path: path, Header: r.Header, Body: o.Body})
	}, func(a *router.Answer) *Refusal { return judgePut(op, a, u.Region) })
	return no
}

// escapeKey writes a key as S3 signs it: every byte but letters, digits, -._~ and the slash is escaped.
func escapeKey(key string) string {
	parts := strings.Split(key, "/")
	for i, p := range parts {
		parts[i] = strings.ReplaceAll(url.QueryEscape(p), "+", "%20")
	}
	return strings.Join(parts, "/")
}

// refusedObjects says what the codes of S3 alone mean. Those of every service are in codes.
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
func refusedObjects() map[router.Class][]string {
	return map[router.Class][]string{
		router.ClassRetry:       {"BadDigest", "InternalError", "OperationAborted", "ServiceUnavailable", "ConditionalRequestConflict", "IncompleteBody", "XAmzContentSHA256Mismatch"},
		router.ClassCredentials: {"AllAccessDisabled", "AccountProblem", "NotSignedUp"},
		router.ClassTooLarge:    {"EntityTooLarge"},
	}
}

// judgePut returns nil for an answer that says that an object is stored: 200 with the tag of the object.
func judgePut(op string, a *router.Answer, asked string) *Refusal {
	if a.Status == http.StatusOK && a.Header.Get("Etag") != "" && len(a.Body) == 0 {
		return nil
	}
	var said struct{ Code, Message, Region string }
	if a.Cut || xml.Unmarshal(a.Body, &said) != nil || !isCode(said.Code) {
		said.Code, said.Message = "", ""
	}
	region := a.Header.Get("X-Amz-Bucket-Region")
	if region == "" {
		region = said.Region
	}
	r := refusal(op, a, said.Code, said.Message)
	switch {
	case said.Code != "" && region != "" && region != asked: // also with a redirect
		r.Error.Class, r.Error.Cause = router.ClassConfig, "AWS answers "+a.Text(said.Code)
		r.Code, r.Region, r.Error.Hint = said.Code, a.Text(region), ""
		return r
	case r.Code == "":
		return r
	}
	e := r.Error
	if ClassOf(r.Code) == "" && a.Status < http.StatusInternalServerError {
		e.Class, e.Hint = router.ClassConfig, ""
	}
	for class, list := range refusedObjects() {
		for _, code := range list {
			if r.Code == code {
				e.Class = class
			}
		}
	}
	return r
}
