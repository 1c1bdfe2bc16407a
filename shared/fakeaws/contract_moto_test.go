//go:build integration

package fakeaws_test

import (
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/secretref/secretref/shared/rig"
)

// moto is an implementation that we did not write. Where it is known to differ from AWS the contract is silent.
func TestContractMoto(t *testing.T) {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	contract(t, aws.Config{
		Region: "eu-west-1", BaseEndpoint: aws.String(rig.Use(t, rig.StartMoto, rig.MotoOptions{}).URL()),
		Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "key", ""),
		HTTPClient:  &http.Client{Transport: wholeBodies{tr}},
		Retryer:     func() aws.Retryer { return aws.NopRetryer{} },
	})
}
