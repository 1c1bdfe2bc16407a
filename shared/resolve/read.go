package resolve

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/secret"
	"github.com/secretref/secretref/shared/secretref"
)

// maxNames is the limit of GetParameters.
const maxNames = 10

// batches divides units into what one call can read: a secret each, up to ten parameters of one region, account and
// identity together.
func batches(units []unit) [][]unit {
	type group struct {
		region, account string
		role            config.Role
	}
	var all [][]unit
	open := map[group]int{} // index of the batch that still has room
	for _, u := range units {
		if u.service != secretref.SSM {
			all = append(all, []unit{u})
			continue
		}
		g := group{u.region, u.account, u.role}
		i, ok := open[g]
		if !ok || len(all[i]) == maxNames {
			i = len(all)
			all = append(all, nil)
			open[g] = i
		}
		all[i] = append(all[i], u)
	}
	return all
}

// read makes the one call for a batch and answers each of its units.
func (r *Resolver) read(ctx context.Context, batch []unit) (answers map[unit]answer) {
	answers = map[unit]answer{}
	// Only this goroutine can recover from its panic; its text may hold a value.
	defer func() {
		if recover() == nil {
			return
		}
		for _, u := range batch {
			answers[u] = answer{err: &fault.Error{Kind: fault.Unreachable, Cause: "internal error (panic)", Hint: "please report it"}}
		}
	}()
	if batch[0].service == secretref.S3 {
		answers[batch[0]] = r.readObject(ctx, batch[0])
		return answers
	}
	cfg, err := r.session.Config(ctx, batch[0].region, batch[0].role)
	switch {
	case err != nil:
		for _, u := range batch {
			answers[u] = answer{err: err}
		}
	case batch[0].service == secretref.SSM:
		readParameters(ctx, cfg, batch, answers)
	default:
		answers[batch[0]] = readSecret(ctx, cfg, batch[0])
	}
	return answers
}

func readSecret(ctx context.Context, cfg aws.Config, u unit) answer {
	in := &secretsmanager.GetSecretValueInput{SecretId: &u.name}
	if u.stage != "" {
		in.VersionStage = &u.stage
	}
	if u.version != "" {
		in.VersionId = &u.version
	}
	out, err := secretsmanager.NewFromConfig(cfg).GetSecretValue(ctx, in)
	switch {
	case err != nil:
		return answer{err: classified(ctx, err)}
	case out.ARN == nil:
		return answer{err: awsconf.NotAWS()}
	case out.SecretString == nil && out.SecretBinary != nil:
		return answer{err: badValue("the secret is binary", "store it as text: a binary secret has no SecretString")}
	case out.SecretString == nil || *out.SecretString == "":
		return answer{err: badValue("the secret is empty", "put a value into it")}
	}
	return answer{text: secret.New(*out.SecretString), versionID: aws.ToString(out.VersionId)}
}

func readParameters(ctx context.Context, cfg aws.Config, batch []unit, answers map[unit]answer) {
	names := make([]string, len(batch))
	for i, u := range batch {
		names[i] = u.name
	}
	out, err := ssm.NewFromConfig(cfg).GetParameters(ctx, &ssm.GetParametersInput{Names: names, WithDecryption: aws.Bool(true)})
	if err != nil {
		err = classified(ctx, err)
		if len(batch) > 1 && !fault.KindOf(err).Transient() {
			// One parameter that may not be read fails the whole call: ask for each alone, to serve the others.
			for _, u := range batch {
				readParameters(ctx, cfg, []unit{u}, answers)
			}
			return
		}
		for _, u := range batch {
			answers[u] = answer{err: err}
		}
		return
	}
	if len(out.Parameters)+len(out.InvalidParameters) == 0 {
		for _, u := range batch {
			answers[u] = answer{err: awsconf.NotAWS()}
		}
		return
	}
	for _, u := range batch {
		answers[u] = parameterAnswer(u, out.Parameters)
	}
}

// parameterAnswer finds a unit's parameter. The service answers a name with Name, an ARN with the Name and the ARN, and
// repeats a version or label as Selector.
func parameterAnswer(u unit, parameters []types.Parameter) answer {
	name, selector := u.name, ""
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') && (u.account == "" || strings.Count(name, ":") > 5) {
		name, selector = name[:i], name[i:]
	}
	for _, p := range parameters {
		if got := aws.ToString(p.Selector); got != selector && (got != "" || selector != ":"+strconv.FormatInt(p.Version, 10)) {
			continue
		}
		if aws.ToString(p.Name) != name && aws.ToString(p.ARN) != name {
			continue
		}
		if aws.ToString(p.Value) == "" {
			return answer{err: badValue("the parameter is empty", "put a value into it")}
		}
		return answer{text: secret.New(*p.Value), versionID: strconv.FormatInt(p.Version, 10)}
	}
	return answer{err: &fault.Error{Kind: fault.NotFound, Cause: "Parameter Store has no such parameter, version or label (InvalidParameters)"}}
}

func classified(ctx context.Context, err error) error {
	e := &fault.Error{Err: err}
	awsconf.Classify(ctx, e, err)
	return e
}

func badValue(cause, hint string) *fault.Error {
	return &fault.Error{Kind: fault.BadValue, Cause: cause, Hint: hint}
}

// explain completes an error with what was being done, and with the hint that fits the reference.
func explain(q Request, err error) error {
	var e *fault.Error
	if !errors.As(err, &e) {
		e = &fault.Error{Kind: fault.Unreachable, Cause: fault.OneLine(err.Error()), Err: err}
	}
	c := *e // the answer is shared with others who asked
	if q.Ref.Region == "" && c.Region == "" {
		c.Region = q.Region
	}
	if c.Role == "" && c.Op == "" { // a step before, such as assuming the role, was not done as it
		c.Role = q.Role.RoleARN
	}
	c.Op = operation(q.Ref, c.Op)
	if c.Hint == "" {
		c.Hint = hint(q, c.Kind)
	}
	return &c
}

// operation says what was being done: reading the reference, and in that perhaps a step such as assuming a role.
func operation(ref secretref.Ref, step string) string {
	op := "get secret " + ref.String()
	switch ref.Service {
	case secretref.SSM:
		op = "get parameter " + ref.String()
	case secretref.S3:
		op = "get object " + ref.String()
	}
	if step != "" {
		op += ": " + step
	}
	return op
}
