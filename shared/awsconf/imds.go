package awsconf

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/smithy-go/logging"

	"github.com/secretref/secretref/shared/fault"
)

// Limits for IMDS, which is one hop away and answers in milliseconds when it answers at all. With the defaults of the
// SDK a host without IMDS waits for 8 seconds and is told "no EC2 IMDS role found".
const (
	imdsDial    = 500 * time.Millisecond
	imdsAnswer  = time.Second
	imdsTries   = 2
	imdsTotal   = 2500 * time.Millisecond
	imdsV1Probe = 500 * time.Millisecond
)

const (
	tokenPath = "/latest/api/token"
	rolesPath = "/latest/meta-data/iam/security-credentials/"
)

// imdsClient is the SDK's IMDS client, IMDSv2 only, with a witness that remembers how the last requests ended. Its
// answers to GetMetadata carry a *fault.Error with the diagnosis.
type imdsClient struct {
	client *diagnosingIMDS
	raw    *imds.Client
	http   *http.Client

	mu   sync.Mutex
	seen sightings
	role string
}

// sightings is what the witness has seen since the last question.
type sightings struct {
	endpoint    string // scheme and host that was asked
	connected   bool   // a TCP connection came about
	tokenStatus int    // of the answer to the token PUT; 0 = none came
	getStatus   int    // of the last GET
	err         error  // of the last request that had no answer
}

func newIMDSClient() *imdsClient {
	c := &imdsClient{}
	dialer := net.Dialer{Timeout: imdsDial}
	c.http = &http.Client{
		Timeout: imdsAnswer,
		// No proxy: 169.254.169.254 means this host. No keep-alive: a helper asks three times and is gone.
		Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true, MaxResponseHeaderBytes: maxHeader},
	}
	c.raw = imds.New(imds.Options{
		HTTPClient:     imdsDoer{c},
		Logger:         logging.Nop{},
		EnableFallback: aws.FalseTernary,
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts, o.MaxBackoff = imdsTries, 50*time.Millisecond
		}),
		DisableDefaultTimeout: true,
	})
	c.client = &diagnosingIMDS{c}
	return c
}

func (c *imdsClient) region(ctx context.Context) (string, error) {
	ctx, stop := timeToDiagnose(ctx)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, imdsTotal)
	defer cancel()
	out, err := c.raw.GetRegion(ctx, &imds.GetRegionInput{})
	if err != nil {
		return "", c.diagnose(ctx, err)
	}
	return out.Region, nil
}

func (c *imdsClient) roleName() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.role
}

// diagnosingIMDS gives the SDK's provider of instance credentials its metadata, within imdsTotal.
type diagnosingIMDS struct{ c *imdsClient }

func (d *diagnosingIMDS) GetMetadata(ctx context.Context, in *imds.GetMetadataInput, opts ...func(*imds.Options)) (*imds.GetMetadataOutput, error) {
	limited, cancel := context.WithTimeout(ctx, imdsTotal)
	out, err := d.c.raw.GetMetadata(limited, in, opts...)
	if err != nil {
		cancel()
		return nil, d.c.diagnose(ctx, err)
	}
	out.Content = cancelCloser{out.Content, cancel}
	return out, nil
}

// imdsDoer sends the requests and is the witness.
type imdsDoer struct{ c *imdsClient }

func (d imdsDoer) Do(r *http.Request) (*http.Response, error) {
	c := d.c
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { c.note(func(s *sightings) { s.connected = true }) }}
	c.note(func(s *sightings) { s.endpoint = r.URL.Scheme + "://" + r.URL.Host }) // now: a diagnosis may come before the answer
	resp, err := c.http.Do(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	c.note(func(s *sightings) {
		s.err = err
		switch {
		case err != nil:
		case r.Method == http.MethodPut:
			s.tokenStatus = resp.StatusCode
		default:
			s.getStatus = resp.StatusCode
		}
	})
	if err == nil {
		EndSwitched(resp)
		resp.Body = &boundedBody{body: resp.Body, left: maxAnswer, asked: r.URL.Host}
	}
	if role, ok := strings.CutPrefix(r.URL.Path, rolesPath); ok && role != "" && err == nil {
		c.mu.Lock()
		c.role = role
		c.mu.Unlock()
	}
	return resp, err
}

func (c *imdsClient) note(f func(*sightings)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.seen)
}

// diagnose says which of the known ways of failing this was.
func (c *imdsClient) diagnose(ctx context.Context, err error) error {
	c.mu.Lock()
	s := c.seen
	c.mu.Unlock()
	e := &fault.Error{Kind: fault.NoCredentials, Op: "get credentials from the instance metadata service", Err: err}
	if s.endpoint != "" {
		e.Op += " " + s.endpoint
	}
	switch {
	case s.endpoint == "":
		e.Cause = "it is switched off by AWS_EC2_METADATA_DISABLED or by the shared configuration of AWS"
		e.Hint = "give the host an instance role and switch it on, or set profile under [aws]"
	case !s.connected:
		e.Cause = "nothing answers there (" + dialCause(s.err) + ")"
		e.Hint = "is this an EC2 instance, and is its metadata service enabled? elsewhere set profile under [aws] or AWS_* in the environment"
	case s.tokenStatus == 0:
		e.Cause = "it takes the connection, but the answer to the IMDSv2 token request does not arrive" + c.v1(ctx, s.endpoint)
		e.Hint = "the hop limit is too low for where this runs: set HttpPutResponseHopLimit to 2, or run on the host's network"
	case s.tokenStatus == http.StatusForbidden:
		e.Cause = "it refuses to give a token (403): the metadata service is disabled for this instance"
		e.Hint = "enable it with aws ec2 modify-instance-metadata-options --http-endpoint enabled"
	case s.tokenStatus != http.StatusOK:
		e.Cause = "it answers the IMDSv2 token request with " + http.StatusText(s.tokenStatus)
		e.Hint = "is this the metadata service of EC2?"
	case s.getStatus == http.StatusNotFound:
		e.Cause = "the instance has no role"
		e.Hint = "attach an instance profile, or set profile under [aws]"
	case s.getStatus != 0 && s.getStatus != http.StatusOK:
		e.Cause = "it answers " + http.StatusText(s.getStatus)
		e.Hint = "see the instance's metadata options and its role"
	default:
		e.Cause = "it gave no usable credentials (" + trimCause(err) + ")"
		e.Hint = "does the role of the instance profile exist, and may EC2 assume it?"
	}
	return e
}

// timeToDiagnose returns a context that ends so long before ctx that diagnose can still say why, if ctx is not very short.
// The SDK hides the deadline of ctx from what gets credentials, so that is not the place to do it.
func timeToDiagnose(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	left := time.Until(end)
	return context.WithTimeout(ctx, max(left/2, left-imdsV1Probe-200*time.Millisecond))
}

// v1 says, for a host where the token never arrives, whether IMDSv1 would have answered.
func (c *imdsClient) v1(ctx context.Context, endpoint string) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), imdsV1Probe)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+rolesPath, nil)
	if err != nil {
		return ""
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return ""
	}
	_ = resp.Body.Close()
	if resp.StatusCode == http.StatusUnauthorized {
		return " (and IMDSv2 is required: without a token it answers 401)"
	}
	return " (IMDSv1 is still allowed there, but is not used)"
}

func dialCause(err error) string {
	var op *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return "timed out"
	case errors.As(err, &op) && op.Err != nil:
		return op.Err.Error()
	case err != nil:
		return trimCause(err)
	}
	return "no connection"
}
