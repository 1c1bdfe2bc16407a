package resolve

import (
	"context"
	"encoding/base64"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"

	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/secret"
)

// publicRegion is the only region that gives tokens for ECR Public.
const publicRegion = "us-east-1"

// tokenLife is how long a token is valid: 12 hours, says the manual of GetAuthorizationToken.
const tokenLife = 12 * time.Hour

// ECRRequest asks for the token of a registry of ECR, or of ECR Public.
type ECRRequest struct {
	Host            string // for error texts
	Region          string
	Public          bool
	FIPS, DualStack bool
	Role            config.Role
}

// ECRToken is a user name and password for docker login.
type ECRToken struct {
	Username string
	Password secret.Value
	Expires  time.Time
}

// ECRToken calls GetAuthorizationToken.
func (r *Resolver) ECRToken(ctx context.Context, q ECRRequest) (_ ECRToken, failed error) {
	token, err := r.ecrToken(ctx, q)
	defer func() { r.accessECR(q, failed) }()
	if err == nil {
		// The end is a time of AWS. By a local clock that is behind, the token would seem to live for longer.
		if latest := r.now().Add(tokenLife); token.Expires.After(latest) {
			token.Expires = latest
		}
		return token, nil
	}
	e := classified(ctx, err).(*fault.Error)
	if e.Op != "" {
		e.Op = ": " + e.Op
	}
	e.Op, e.Region = "get ECR token for "+q.Host+e.Op, q.Region
	if e.Role == "" {
		e.Role = q.Role.RoleARN
	}
	if e.Kind == fault.Denied && e.Hint == "" {
		e.Hint = "allow ecr:GetAuthorizationToken for " + who(Request{Role: q.Role})
		if q.Public {
			e.Hint = "allow ecr-public:GetAuthorizationToken and sts:GetServiceBearerToken for " + who(Request{Role: q.Role})
		}
	}
	return ECRToken{}, e
}

func (r *Resolver) ecrToken(ctx context.Context, q ECRRequest) (ECRToken, error) {
	if q.Public {
		q.Region = publicRegion
	}
	cfg, err := r.session.Config(ctx, q.Region, q.Role)
	if err != nil {
		return ECRToken{}, err
	}
	if q.Public {
		out, err := ecrpublic.NewFromConfig(cfg).GetAuthorizationToken(ctx, &ecrpublic.GetAuthorizationTokenInput{})
		if err != nil {
			return ECRToken{}, err
		}
		if out.AuthorizationData == nil {
			return ECRToken{}, badToken()
		}
		return decodeToken(out.AuthorizationData.AuthorizationToken, out.AuthorizationData.ExpiresAt)
	}
	client := ecr.NewFromConfig(cfg, func(o *ecr.Options) {
		if o.BaseEndpoint != nil {
			return // a custom endpoint is used as it is: the SDK refuses both
		}
		if q.FIPS {
			o.EndpointOptions.UseFIPSEndpoint = aws.FIPSEndpointStateEnabled
		}
		if q.DualStack {
			o.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateEnabled
		}
	})
	out, err := client.GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		return ECRToken{}, err
	}
	if len(out.AuthorizationData) == 0 {
		return ECRToken{}, badToken()
	}
	return decodeToken(out.AuthorizationData[0].AuthorizationToken, out.AuthorizationData[0].ExpiresAt)
}

// decodeToken reads base64(user:password).
func decodeToken(token *string, expires *time.Time) (ECRToken, error) {
	plain, err := base64.StdEncoding.DecodeString(aws.ToString(token))
	user, password, ok := strings.Cut(string(plain), ":")
	if err != nil || !ok || user == "" || password == "" {
		return ECRToken{}, badToken()
	}
	return ECRToken{user, secret.New(password), aws.ToTime(expires)}, nil
}

func badToken() error {
	return &fault.Error{Kind: fault.BadValue, Cause: "the answer holds no usable token", Hint: "is endpoint_url under [aws] really ECR?"}
}
