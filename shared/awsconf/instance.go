package awsconf

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"

	"github.com/secretref/secretref/shared/fault"
)

// Instance is what the instance metadata service says of the EC2 instance that the program runs on.
type Instance struct{ ID, Type, Zone, Region, Account string }

// DescribeInstance asks the instance metadata service once, without credentials. It takes no longer than imdsTotal, also where
// there is no such service: its error then says that.
func DescribeInstance(ctx context.Context) (Instance, error) {
	ctx, cancel := context.WithTimeout(ctx, imdsTotal)
	defer cancel()
	out, err := newIMDSClient().raw.GetInstanceIdentityDocument(ctx, &imds.GetInstanceIdentityDocumentInput{})
	if err != nil {
		return Instance{}, &fault.Error{Kind: fault.Unreachable, Op: "ask the instance metadata service on which instance this is", Err: err, Cause: cause(err)}
	}
	return Instance{ID: out.InstanceID, Type: out.InstanceType, Zone: out.AvailabilityZone, Region: out.Region, Account: out.AccountID}, nil
}
