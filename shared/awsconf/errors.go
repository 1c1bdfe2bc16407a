package awsconf

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/secret"
)

// cancelCloser ends the context of a request when its answer has been read.
type cancelCloser struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (c cancelCloser) Close() error {
	defer c.cancel()
	return c.ReadCloser.Close()
}

func dialOptions(d *net.Dialer) { d.Timeout = dialTimeout }

// credentialsError explains why the host has no credentials.
func (s *Session) credentialsError(ctx context.Context, provider aws.CredentialsProvider, err error) error {
	var sources []aws.CredentialSource
	if p, ok := provider.(aws.CredentialProviderSource); ok {
		sources = p.ProviderSources()
	}
	if slices.Contains(sources, aws.CredentialSourceIMDS) {
		return s.imds.diagnose(ctx, err)
	}
	e := &fault.Error{Kind: fault.NoCredentials, Op: "get AWS credentials", Err: err, Cause: trimCause(err),
		Hint: "see the environment (AWS_*), ~/.aws/config and profile under [aws]"}
	if from := sourceName(sources); from != "" {
		e.Op += " from " + from
	}
	if ctx.Err() != nil {
		e.Cause = "no answer before the deadline"
	}
	switch {
	case isExpiredLogin(err):
		e.Cause = "the login has expired (" + e.Cause + ")"
		e.Hint = "log in again with: aws sso login --profile " + profile(s.aws, os.Getenv)
	case slices.ContainsFunc(sources, usesSTS):
		e.Hint += s.stsHint()
	}
	return e
}

// isExpiredLogin reports whether err is about the token of IAM Identity Center, which a person renews in a browser.
func isExpiredLogin(err error) bool {
	var invalid *ssocreds.InvalidTokenError
	var api smithy.APIError
	switch {
	case errors.As(err, &invalid), strings.Contains(err.Error(), "SSO token"):
		return true
	case errors.As(err, &api):
		return slices.Contains([]string{"UnauthorizedException", "InvalidGrantException", "ExpiredTokenException"}, api.ErrorCode()) &&
			strings.Contains(err.Error(), "SSO")
	}
	return false
}

func usesSTS(source aws.CredentialSource) bool {
	return slices.Contains([]aws.CredentialSource{aws.CredentialSourceSTSAssumeRole, aws.CredentialSourceSTSAssumeRoleWebID,
		aws.CredentialSourceEnvVarsSTSWebIDToken, aws.CredentialSourceProfileSTSWebIDToken}, source)
}

// stsHint names the key that says where STS is, for a call to it that was not answered as STS answers.
func (s *Session) stsHint() string {
	switch {
	case s.aws.STSEndpointURL != "":
		return "; sts_endpoint_url under [aws] must lead to STS"
	case s.aws.EndpointURL != "":
		return "; if endpoint_url under [aws] is the address of one other service, set sts_endpoint_url as well"
	}
	return ""
}

func sourceName(sources []aws.CredentialSource) string {
	if len(sources) == 0 {
		return ""
	}
	switch sources[len(sources)-1] {
	case aws.CredentialSourceHTTP:
		return "the container credentials endpoint"
	case aws.CredentialSourceProcess:
		return "credential_process"
	case aws.CredentialSourceProfileSSO, aws.CredentialSourceSSO:
		return "IAM Identity Center"
	case aws.CredentialSourceSTSAssumeRoleWebID, aws.CredentialSourceEnvVarsSTSWebIDToken:
		return "the web identity token"
	}
	return ""
}

func (s *Session) assumeError(ctx context.Context, role config.Role, err error) error {
	e := &fault.Error{Op: "assume role " + role.RoleARN, Role: s.imds.roleName(), Err: err}
	Classify(ctx, e, err)
	if !strings.HasPrefix(e.Cause, "access denied") {
		e.Hint = strings.TrimPrefix(e.Hint+s.stsHint(), "; ")
		return e
	}
	if e.Kind == fault.Denied {
		e.Hint = "let its trust policy name this host's role, allow sts:AssumeRole to that, and compare external_id"
	}
	return e
}

// Classify fills in e's kind, cause and hint from an error of the SDK: the same codes mean the same in every service.
func Classify(ctx context.Context, e *fault.Error, err error) {
	var fe *fault.Error
	var api smithy.APIError
	switch {
	case errors.As(err, &fe):
		op := e.Op
		if *e = *fe; op != "" && e.Op != "" {
			e.Op = op + ": " + e.Op
		} else if op != "" {
			e.Op = op
		}
	case errors.As(err, &api):
		var response *smithyhttp.ResponseError
		status := 0
		if errors.As(err, &response) {
			status = response.HTTPStatusCode()
		}
		classifyCode(e, api, status)
	default:
		classifyNetwork(ctx, e, err)
	}
}

// The codes, from the error lists of Secrets Manager, Systems Manager, STS, ECR and the common errors of AWS.
func classifyCode(e *fault.Error, api smithy.APIError, status int) {
	code, message := api.ErrorCode(), api.ErrorMessage()
	e.Cause = fault.OneLine(short(message)) + " (" + code + ")"
	if message == "" {
		e.Cause = "AWS answered " + code
	}
	low := strings.ToLower(code + " " + message)
	switch code {
	case "ResourceNotFoundException", "ParameterNotFound", "ParameterVersionNotFound", "ParameterVersionLabelLimitExceeded":
		e.Kind = fault.NotFound
	case "InvalidRequestException":
		e.Kind = fault.BadReference
		if strings.Contains(low, "deletion") || strings.Contains(low, "deleted") {
			e.Kind, e.Cause = fault.NotFound, "it is scheduled for deletion ("+code+")"
			e.Hint = "aws secretsmanager restore-secret brings it back; or point the reference at its successor"
		}
	case "AccessDeniedException", "AccessDenied", "UnauthorizedOperation", "NotAuthorized", "OptInRequired", "AuthFailure":
		e.Kind, e.Cause = fault.Denied, "access denied ("+code+reason(message)+")"
		if who := caller(message); who != "" {
			e.Role = who
		}
		if aboutKMS(low) {
			e.Kind = fault.Decrypt
		}
	case "UnrecognizedClientException", "InvalidClientTokenId", "MissingAuthenticationToken", "InvalidAccessKeyId":
		e.Kind = fault.Denied
		e.Hint = "AWS does not know these credentials: are they of another partition, or deleted?"
	case "DecryptionFailure", "InvalidKeyId", "KMSAccessDeniedException", "KMSDisabledException", "KMSInvalidStateException", "KMSNotFoundException":
		e.Kind = fault.Decrypt
	case "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired":
		e.Kind, e.Cause = fault.NoCredentials, "the AWS credentials have expired ("+code+")"
		e.Hint = "renew them; on EC2 see whether the clock is right"
	case "RequestTimeTooSkewed", "RequestExpired", "InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature":
		e.Kind, e.Cause = fault.NoCredentials, "AWS does not accept the signature ("+code+")"
		e.Hint = "compare this host's clock with chronyc tracking; if it is right, the secret access key is not"
	case "ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded", "RequestThrottled",
		"RequestThrottledException", "SlowDown", "ThrottledException", "LimitExceededException", "TooManyUpdates":
		e.Kind, e.Cause = fault.Throttled, "AWS asks to slow down ("+code+")"
		e.Hint = "a longer ttl under [cache] asks less often"
	case "ValidationException", "InvalidParameterException", "InvalidParameterValue", "ValidationError", "ParameterPatternMismatchException":
		e.Kind = fault.BadReference
	case "", "UnknownError":
		// No error of AWS has no code: a proxy or a captive portal has answered.
		n := NotAWS()
		e.Kind, e.Cause, e.Hint = n.Kind, n.Cause, n.Hint
	default:
		// A code that is not known: AWS says with the status whose fault it is.
		e.Kind, e.Hint = fault.Unreachable, "try again; if it stays, see the AWS Health Dashboard, and whether endpoint_url or a proxy leads to AWS"
		switch {
		case status == http.StatusTooManyRequests:
			e.Kind, e.Hint = fault.Throttled, "a longer ttl under [cache] asks less often"
		case status >= 400 && status < 500 && status != http.StatusRequestTimeout:
			e.Kind, e.Hint = fault.Denied, "look the code up in the manual of the service"
		}
	}
}

// NotAWS is an answer of something else: a proxy, a captive portal. Classify finds those that the SDK takes for errors;
// the caller who reads a response finds those that it takes for good ones.
func NotAWS() *fault.Error {
	return &fault.Error{Kind: fault.Unreachable, Cause: "what answered did not answer as AWS does",
		Hint: "is something else at that address (endpoint_url, proxy, captive portal)?"}
}

// aboutKMS reports whether a denial, in lower case, is one of the key. The message also holds the name of the secret,
// which may be anything.
func aboutKMS(low string) bool {
	for _, words := range []string{"perform: kms:", "access to kms", "customer master key"} {
		if strings.Contains(low, words) {
			return true
		}
	}
	return false
}

func classifyNetwork(ctx context.Context, e *fault.Error, err error) {
	e.Kind = fault.Unreachable
	e.Cause = trimCause(err)
	var missing *aws.MissingRegionError
	var dns *net.DNSError
	switch low := strings.ToLower(err.Error()); {
	case errors.As(err, &missing), strings.Contains(low, "missing region"):
		e.Kind, e.Cause, e.Hint = fault.BadReference, "no region is known", "set region under [aws], or name the secret by its ARN"
	case strings.Contains(low, "invalid configuration"):
		e.Kind, e.Hint = fault.BadReference, "see endpoint_url, use_fips_endpoint and use_dualstack_endpoint under [aws]"
	case errors.Is(ctx.Err(), context.DeadlineExceeded), errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		e.Cause = "no answer from " + host(err) + " before the deadline"
		e.Hint = "is there a route to it (VPC endpoint, NAT, proxy, security group)?"
	case errors.Is(ctx.Err(), context.Canceled):
		e.Cause = "it was given up"
	case strings.Contains(low, "x509") || strings.Contains(low, "tls:"):
		e.Hint = "if a proxy or private endpoint has a CA of its own, name it with ca_bundle under [aws]"
	case errors.As(err, &dns):
		e.Cause = "the name " + dns.Name + " is not known"
		e.Hint = "is the region right, and does this host have DNS?"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		e.Cause = "the answer of " + host(err) + " was cut off"
		e.Hint = "does something on the way (proxy, firewall, MTU) end the connection?"
	case strings.Contains(low, "deserialization"), strings.Contains(low, "malformed"): // the second has the words of who answered
		n := NotAWS()
		e.Cause, e.Hint = n.Cause, n.Hint
	default:
		e.Hint = "is there a route to it (VPC endpoint, NAT, proxy, security group)?"
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// host names who was asked.
func host(err error) string {
	var ue *url.Error
	if errors.As(err, &ue) {
		if u, perr := url.Parse(ue.URL); perr == nil && u.Host != "" {
			return u.Host
		}
	}
	return "AWS"
}

// trimCause is the innermost text of an error: the SDK wraps it in the names of its own parts.
func trimCause(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		address := ""
		if op.Addr != nil {
			address = " " + op.Addr.String()
		}
		return fault.OneLine(op.Op + address + ": " + op.Err.Error())
	}
	err = secret.RedactError(err)
	for {
		next := errors.Unwrap(err)
		if next == nil || next.Error() == "" {
			return fault.OneLine(short(err.Error()))
		}
		err = next
	}
}

// cause is the words of a *fault.Error without its operation.
func cause(err error) string {
	var fe *fault.Error
	if errors.As(err, &fe) {
		return fe.Cause
	}
	return trimCause(err)
}

func short(s string) string {
	const limit = 240
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "..."
	}
	return s
}

// caller is the identity in "User: ARN is not authorized to perform ...".
func caller(message string) string {
	_, rest, ok := strings.Cut(message, "User: ")
	if !ok {
		return ""
	}
	arn, _, _ := strings.Cut(rest, " ")
	if !strings.HasPrefix(arn, "arn:") {
		return ""
	}
	return arn
}

// reason is what AWS adds about the policy that decided: "because no identity-based policy allows ..." or "with an
// explicit deny in a service control policy".
func reason(message string) string {
	for _, mark := range []string{"because ", "with an explicit deny"} {
		if i := strings.Index(message, mark); i >= 0 {
			return ": " + fault.OneLine(short(message[i:]))
		}
	}
	return ""
}

// profile returns the name of the profile that is used: that of the [aws] table, else that of the environment.
func profile(settings config.AWS, getenv func(string) string) string {
	return cmp.Or(settings.Profile, getenv("AWS_PROFILE"), getenv("AWS_DEFAULT_PROFILE"), "default")
}
