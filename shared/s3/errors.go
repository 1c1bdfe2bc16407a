package s3

import (
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/fault"
)

// maxRefusal is how much of an error is read, in bytes; those of S3 have less than one KiB.
const maxRefusal = 64 << 10

// elsewhereError says that the bucket is in another region than the one that was asked.
type elsewhereError struct {
	region string // "" = S3 does not say which
}

func (e *elsewhereError) Error() string {
	return "the bucket is in " + cmp.Or(e.region, "another region")
}

// refusal reads an answer without an object, of the region that was asked.
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
func refusal(res *http.Response, asked string) error {
	data, err := io.ReadAll(io.LimitReader(res.Body, maxRefusal))
	if err != nil {
		return &cutError{res.Request.URL.Host, err}
	}
	var answer struct{ Code, Message, Region string }
	if err := xml.Unmarshal(data, &answer); err != nil {
		answer.Code, answer.Message, answer.Region = "", "", "" // not of S3, or none
	}
	region := cmp.Or(res.Header.Get("X-Amz-Bucket-Region"), answer.Region)
	switch res.StatusCode {
	case http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		if region != "" || answer.Code != "" {
			return &elsewhereError{region}
		}
	case http.StatusBadRequest:
		// The answer to a signature for the wrong region, under several codes.
		if region != "" && region != asked {
			return &elsewhereError{region}
		}
	}
	return &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: res},
		Err:      &smithy.GenericAPIError{Code: answer.Code, Message: answer.Message},
	}
}

// explain makes a *fault.Error of whatever has kept an object from being read.
func explain(ctx context.Context, q Request, region string, err error) error {
	e := &fault.Error{Err: err}
	var elsewhere *elsewhereError
	var api smithy.APIError
	switch {
	case errors.As(err, &elsewhere):
		e.Kind, e.Hint = fault.BadReference, regionHint(q.Bucket)+"; an endpoint_url must lead to that region"
		e.Cause = "S3 does not serve the bucket here"
		if elsewhere.region != "" {
			e.Cause += ", but in " + fault.OneLine(elsewhere.region)
		}
	case errors.As(err, &api):
		awsconf.Classify(ctx, e, err)
		classify(e, api, q)
	default:
		awsconf.Classify(ctx, e, err)
	}
	e.Region = region
	return e
}

// classify corrects what only S3 means by a code.
func classify(e *fault.Error, api smithy.APIError, q Request) {
	code := api.ErrorCode()
	switch code {
	case "NoSuchBucket":
		e.Kind, e.Hint = fault.NotFound, "compare the bucket's name"
	case "NoSuchKey", "NoSuchVersion", "MethodNotAllowed": // the last for the marker of a deletion
		e.Kind, e.Hint = fault.NotFound, "compare the key, in which case counts, with aws s3 ls s3://"+q.Bucket
	case "InvalidBucketName", "KeyTooLongError", "InvalidURI":
		e.Kind = fault.BadReference
		e.Hint = "" // the caller's
	case "InvalidObjectState":
		e.Kind, e.Hint = fault.BadValue, "it is archived: restore it with aws s3api restore-object, or store it in another class"
	case "InvalidRequest":
		e.Kind, e.Hint = fault.BadValue, "an object that is encrypted with a key of the caller (SSE-C) cannot be read; encrypt it with SSE-KMS or SSE-S3"
	case "RequestTimeout", "PreconditionFailed", "OperationAborted", "ConditionalRequestConflict":
		e.Kind, e.Hint = fault.Unreachable, "try again"
	case "InvalidToken":
		e.Kind, e.Hint = fault.Denied, "AWS does not know these credentials: are they of another partition, or deleted?"
	default:
		if strings.HasPrefix(code, "KMS.") {
			e.Kind, e.Hint = fault.Decrypt, ""
		}
	}
}
