package fakeaws

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxBody bounds a request; the largest real one carries a secret of 64 KiB, in base64.
const maxBody = 1 << 20

// request is one call of an operation, after its signature was verified.
type request struct {
	service, op, region string
	who                 identity
	body                []byte
	form                url.Values // of STS
	object              objectRequest
	call                *Call
}

// answer is what goes back: complete before the first byte is sent, so that a fault can spoil it.
type answer struct {
	status      int
	contentType string
	body        []byte
	header      http.Header // of S3; nil = none
}

// apiError is an error as the service words it. A status of 0 is the protocol's usual one.
type apiError struct {
	code, message string
	status        int
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

// targetService maps the prefix of X-Amz-Target to the name of the service in the signature.
func targetService(prefix string) string {
	switch prefix {
	case "secretsmanager":
		return "secretsmanager"
	case "AmazonSSM":
		return "ssm"
	case "AmazonEC2ContainerRegistry_V20150921":
		return "ecr"
	case "SpencerFrontendService":
		return "ecr-public"
	}
	return ""
}

// operation returns the operation of a service, or nil. All of them run with s.mu held.
func (s *Server) operation(service, op string) func(*request) (any, error) {
	switch service + ":" + op {
	case "secretsmanager:GetSecretValue":
		return decoded(s.getSecretValue)
	case "secretsmanager:DescribeSecret":
		return decoded(s.describeSecret)
	case "secretsmanager:CreateSecret":
		return decoded(s.createSecret)
	case "secretsmanager:PutSecretValue":
		return decoded(s.putSecretValue)
	case "secretsmanager:UpdateSecretVersionStage":
		return decoded(s.updateSecretVersionStage)
	case "secretsmanager:DeleteSecret":
		return decoded(s.deleteSecret)
	case "ssm:GetParameters":
		return decoded(s.getParameters)
	case "ssm:GetParameter":
		return decoded(s.getParameter)
	case "ssm:PutParameter":
		return decoded(s.putParameter)
	case "ssm:LabelParameterVersion":
		return decoded(s.labelParameterVersion)
	case "ecr:GetAuthorizationToken":
		return decoded(s.ecrToken)
	case "ecr-public:GetAuthorizationToken":
		return decoded(s.ecrPublicToken)
	case "s3:GetObject":
		return s.getObject
	case "sts:AssumeRole":
		return s.assumeRole
	case "sts:GetCallerIdentity":
		return s.getCallerIdentity
	}
	return nil
}

// decoded adapts an operation of a JSON service.
func decoded[In any](f func(*request, In) (any, error)) func(*request) (any, error) {
	return func(r *request) (any, error) {
		var in In
		if err := json.Unmarshal(r.body, &in); err != nil {
			return nil, &apiError{code: "SerializationException", message: "the body is not the JSON of this operation"}
		}
		return f(r, in)
	}
}

func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/_") {
		s.serveAdmin(w, r, false)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "the request is too large", http.StatusRequestEntityTooLarge)
		return
	}
	q := &request{body: body}
	if prefix, op, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
		q.service, q.op = targetService(prefix), op
	} else if q.form, err = url.ParseQuery(string(body)); err == nil && q.form.Has("Action") {
		q.service, q.op = "sts", q.form.Get("Action")
	}
	auth, signed := parseAuthorization(r.Header.Get("Authorization"))
	if q.op == "" && auth.service == "s3" {
		q.service, q.op = "s3", "GetObject"
		q.object = objectRequest{r.Method, strings.TrimPrefix(r.URL.Path, "/"), r.Header.Get("If-None-Match")}
	}
	q.region = auth.region
	var f Fault
	q.call, f = s.record(Call{Service: q.service, Op: q.op, Region: q.region})
	if !f.wait(r) {
		panic(http.ErrAbortHandler) // the client went away, or the server is closing
	}
	clock := s.now()
	if f.Kind == ClockSkew {
		clock = clock.Add(f.skew())
		w.Header().Set("Date", clock.UTC().Format(http.TimeFormat)) // from which an SDK learns the skew
	}
	var out any
	if e := f.apiError(q.service, clock); e != nil {
		err = e
	} else if !signed {
		err = &apiError{"MissingAuthenticationTokenException", "Missing Authentication Token", 0}
	} else {
		out, err = s.perform(q, r, auth, clock)
	}
	a := encode(q.service, q.op, out, err)
	s.finish(q.call, err)
	w.Header().Set("X-Amzn-Requestid", randomID())
	f.send(w, a)
}

// perform authenticates the caller and runs the operation.
func (s *Server) perform(q *request, r *http.Request, auth authorization, clock time.Time) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, known := s.creds[auth.keyID]
	if !known || c.SessionToken != r.Header.Get("X-Amz-Security-Token") {
		return nil, &apiError{"UnrecognizedClientException", "The security token included in the request is invalid.", 0}
	}
	q.who = identityOf(c)
	q.call.Identity = c.Identity
	if auth.service != q.service && q.service != "" {
		return nil, &apiError{"InvalidSignatureException", "Credential should be scoped to correct service: '" + q.service + "'.", 0}
	}
	if bad := auth.verify(r, q.body, c, clock); bad != nil {
		return nil, &apiError{"InvalidSignatureException", bad.message, 0}
	}
	if !c.Expires.IsZero() && !s.now().Before(c.Expires) {
		return nil, &apiError{"ExpiredTokenException", "The security token included in the request is expired", 0}
	}
	op := s.operation(q.service, q.op)
	if op == nil {
		return nil, &apiError{"UnknownOperationException", fmt.Sprintf("The operation %s is not known here", q.op), 0}
	}
	return op(q)
}

func encode(service, op string, out any, err error) answer {
	switch service {
	case "sts":
		return encodeXML(op, out, err)
	case "s3":
		return encodeObject(out, err)
	}
	a := answer{status: http.StatusOK, contentType: "application/x-amz-json-1.1"}
	if err != nil {
		e := err.(*apiError)
		a.status = e.status
		if a.status == 0 {
			a.status = http.StatusBadRequest
		}
		name := "message"
		if service == "secretsmanager" {
			name = "Message" // each service has its own capital
		}
		body := map[string]string{"__type": e.code}
		if e.message != "" {
			body[name] = e.message
		}
		out = body
	}
	a.body = mustJSON(out)
	return a
}

// queryCode is the STS code for what the JSON services call by another name.
func queryCode(code string) string {
	switch code {
	case "InvalidSignatureException":
		return "SignatureDoesNotMatch"
	case "UnrecognizedClientException":
		return "InvalidClientTokenId"
	case "ExpiredTokenException":
		return "ExpiredToken"
	case "MissingAuthenticationTokenException":
		return "MissingAuthenticationToken"
	case "ThrottlingException":
		return "Throttling"
	case "UnknownOperationException":
		return "InvalidAction"
	}
	return code
}

const stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"

func encodeXML(op string, out any, err error) answer {
	a := answer{status: http.StatusOK, contentType: "text/xml"}
	var b bytes.Buffer
	if err != nil {
		e := err.(*apiError)
		code, kind := queryCode(e.code), "Sender"
		switch {
		case e.status != 0:
			a.status = e.status
		case code == "ValidationError" || code == "Throttling" || code == "InvalidAction":
			a.status = http.StatusBadRequest
		default:
			a.status = http.StatusForbidden
		}
		if a.status >= 500 {
			kind = "Receiver"
		}
		fmt.Fprintf(&b, "<ErrorResponse xmlns=%q><Error><Type>%s</Type><Code>%s</Code><Message>", stsNamespace, kind, code)
		_ = xml.EscapeText(&b, []byte(e.message))
		fmt.Fprintf(&b, "</Message></Error><RequestId>%s</RequestId></ErrorResponse>", randomID())
	} else {
		inner, encErr := xml.Marshal(out)
		if encErr != nil {
			panic(encErr)
		}
		fmt.Fprintf(&b, "<%sResponse xmlns=%q>%s<ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></%sResponse>",
			op, stsNamespace, inner, randomID(), op)
	}
	a.body = b.Bytes()
	return a
}

// mustJSON encodes a value of this package, which cannot fail.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
