package awsrouter

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/secretref/secretref/logplugin/router"
)

// Refusal is a call that was not carried out. Its Error is what the caller returns; Code is empty when it was not AWS that
// answered.
type Refusal struct {
	Error   *router.Error
	Code    string // "ThrottlingException"
	Region  string // that of the bucket, where S3 says that it is another
	Message string // AWS's words, for decisions: they are not for errors
}

// NotAWS says what to do about an answer that AWS does not give.
const NotAWS = "what answered did not answer as AWS does: check the endpoint, the proxy and DNS"

// Is reports whether AWS answered with the code.
func (r *Refusal) Is(code string) bool { return r != nil && r.Code == code }

// codes says what the codes of the three services and those of every service mean. The rest is decided by the status.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/CommonErrors.html
func codes() map[router.Class][]string {
	return map[router.Class][]string{
		router.ClassRetry: {
			"ThrottlingException", "Throttling", "ThrottledException", "TooManyRequestsException", "RequestLimitExceeded", "RequestThrottled",
			"RequestThrottledException", "SlowDown", "ServiceUnavailableException", "ServiceUnavailable", "InternalFailure", "InternalServerError",
			"InternalFailureException", "RequestTimeout", "RequestTimeoutException", "OperationAbortedException", "ProvisionedThroughputExceededException",
			"KMSThrottlingException", "PriorRequestNotComplete", "TransactionInProgressException", "InvalidSequenceTokenException", "LimitExceededException",
			"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture",
		},
		router.ClassCredentials: append(refusedCredentials(), "AccessDeniedException", "AccessDenied", "UnauthorizedOperation", "NotAuthorized", "OptInRequired",
			"SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature", "IncompleteSignatureException"),
		router.ClassConfig: {
			"ResourceNotFoundException", "UnrecognizedOperationException", "UnknownOperationException", "InvalidAction", "KMSAccessDeniedException", "KMSDisabledException",
			"KMSInvalidStateException", "KMSNotFoundException", "KMSOptInRequired", "InvalidKMSResourceException", "InvalidOperationException", "ResourceAlreadyExistsException",
		},
		router.ClassBadRecords: {"InvalidParameterException", "InvalidArgumentException", "ValidationException", "ValidationError", "SerializationException"},
		router.ClassTooLarge:   {"RequestEntityTooLargeException", "RequestEntityTooLarge", "RequestTooLargeException"},
	}
}

// refusedCredentials are the codes for credentials that are of no use any more.
func refusedCredentials() []string {
	return []string{"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId", "AuthFailure", "InvalidToken", "MissingAuthenticationToken", "MissingAuthenticationTokenException"}
}

// ClassOf returns the class of a code, for services that answer record by record; "" is not known.
func ClassOf(code string) router.Class {
	for class, list := range codes() {
		if slices.Contains(list, code) {
			return class
		}
	}
	return ""
}

// judge returns nil for an answer that says yes. With empty an answer without a body does, whoever gave it.
func judge(op string, a *router.Answer, empty bool) *Refusal {
	if a.Status == http.StatusOK {
		body := bytes.TrimSpace(a.Body)
		if empty && len(body) == 0 {
			return nil
		}
		if !a.Cut && (len(body) == 0 && isAWS(a) || isObject(body)) {
			return nil
		}
	}
	code, message := said(a)
	return refusal(op, a, code, message)
}

// refusal makes one of an answer that says no, with the code and the message that it gives; "" means that it is not AWS that says so.
func refusal(op string, a *router.Answer, code, message string) *Refusal {
	r := &Refusal{Error: &router.Error{Op: op, Bad: router.NoRecord, RetryAfter: a.RetryAfter}, Code: code, Message: message}
	e := r.Error
	if r.Code == "" || a.Status < 400 {
		r.Code = ""
		e.Cause = a.Cause()
		if e.Class, e.Hint = a.Class(); e.Class == "" || a.Status == http.StatusBadRequest {
			e.Class, e.Hint = router.ClassConfig, NotAWS
		}
		return r
	}
	e.Cause = "AWS answers " + a.Text(r.Code)
	if r.Message != "" {
		e.Cause += ": " + a.Text(r.Message)
	}
	if e.Class = ClassOf(r.Code); e.Class == "" {
		e.Class, e.Hint = a.Class()
	}
	e.Hint = hint(r, e.Hint)
	return r
}

// maxParsed is how long an answer may be that is looked at as a whole. A longer one has a member for each record, which the caller counts;
// to parse it takes more time than all else that is done for a record.
const maxParsed = 4 << 10

// isObject reports whether an answer is an object of JSON, as far as that is looked at.
func isObject(body []byte) bool {
	return len(body) > 1 && body[0] == '{' && body[len(body)-1] == '}' && (len(body) > maxParsed || json.Valid(body))
}

// isAWS reports whether an answer has the header that AWS gives with every one.
func isAWS(a *router.Answer) bool {
	return a.Header.Get("X-Amzn-Requestid") != "" || a.Header.Get("X-Amz-Request-Id") != "" || strings.HasPrefix(a.Media, "application/x-amz-json")
}

// said returns the code and the message of a refusal.
func said(a *router.Answer) (code, message string) {
	var body struct {
		Type    string `json:"__type"`
		Code    string `json:"code"`
		Message string `json:"message"`
		Capital string `json:"Message"`
	}
	if a.HTML || a.Cut || len(bytes.TrimSpace(a.Body)) > 0 && json.Unmarshal(a.Body, &body) != nil {
		return "", ""
	}
	code = body.Type
	for _, other := range []string{body.Code, a.Header.Get("X-Amzn-Errortype")} {
		if code == "" {
			code = other
		}
	}
	if _, behind, ok := strings.Cut(code, "#"); ok { // com.amazonaws.logs#ThrottlingException
		code = behind
	}
	code, _, _ = strings.Cut(code, ":") // ThrottlingException:http://…
	if message = body.Message; message == "" {
		message = body.Capital
	}
	if !isCode(code) {
		return "", ""
	}
	return code, message
}

// isCode reports whether a text can be the code of an error, which is shown.
func isCode(code string) bool {
	const longest = 64
	return len(code) <= longest && !strings.ContainsFunc(code, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_')
	})
}

// hint says what to do about a refusal.
func hint(r *Refusal, otherwise string) string {
	switch {
	case r.isAboutTime():
		return "compare this host's clock with chronyc tracking; if it is right, the secret access key is not"
	case r.isAboutCredentials():
		return "they are fetched anew; if it stays, renew the credentials of this host"
	case r.Error.Class == router.ClassCredentials:
		return "let the policy of this identity allow it"
	}
	return otherwise
}

// isAboutTime reports whether the time of the signature may be the reason.
func (r *Refusal) isAboutTime() bool {
	return slices.Contains([]string{"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture", "InvalidSignatureException", "SignatureDoesNotMatch"}, r.Code)
}

// isAboutCredentials reports whether other credentials may help.
func (r *Refusal) isAboutCredentials() bool {
	return slices.Contains(refusedCredentials(), r.Code) || r.isAboutTime() || r.Code == "" && r.Error.Class == router.ClassCredentials
}
