package awsconf

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/secretref/secretref/shared/fault"
)

// maxAnswer is the largest body that is read of one answer, in bytes. The largest that a service gives is a secret of
// 64 KiB or ten parameters of 8 KiB, of which JSON may write each character with six.
const maxAnswer = 1 << 20

// maxHeader bounds the header of an answer; AWS sends less than a kilobyte.
const maxHeader = 64 << 10

// boundAnswers gives every client, those of the credential providers included, bodies that end after maxAnswer.
func boundAnswers(stack *middleware.Stack) error {
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("BoundAnswers",
		func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
			out, metadata, err := next.HandleDeserialize(ctx, in)
			if r, ok := out.RawResponse.(*smithyhttp.Response); ok && r != nil && r.Body != nil {
				EndSwitched(r.Response)
				asked := "AWS"
				if r.Request != nil && r.Request.URL != nil {
					asked = r.Request.URL.Host
				}
				r.Body = &boundedBody{body: r.Body, left: maxAnswer, asked: asked}
			}
			return out, metadata, err
		}), middleware.After) // next to the transport: nothing reads the body before
}

// EndSwitched takes the body of an answer 101 (Switching Protocols) away: what follows on the connection is not HTTP, and
// reading it heeds neither the context nor a deadline. No service of AWS answers so.
func EndSwitched(res *http.Response) {
	if res.StatusCode == http.StatusSwitchingProtocols {
		_ = res.Body.Close()
		res.Body = http.NoBody
	}
}

// boundedBody is the body of an answer. Reading past its bound fails with a *fault.Error.
type boundedBody struct {
	body  io.ReadCloser
	left  int
	asked string // who answered, for the error
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, b.tooLarge()
	}
	n, err := b.body.Read(p[:min(len(p), b.left+1)])
	if b.left -= n; b.left < 0 {
		return n - 1, b.tooLarge()
	}
	return n, err
}

func (b *boundedBody) Close() error { return b.body.Close() }

func (b *boundedBody) tooLarge() error {
	return &fault.Error{Kind: fault.Unreachable, Op: "read the answer of " + b.asked, Cause: fmt.Sprintf("it has more than %d KiB", maxAnswer>>10),
		Hint: "check that endpoint_url, the proxy and DNS lead to AWS"}
}
