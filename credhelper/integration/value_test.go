//go:build integration

package integration

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/rig"
)

// parallel pulls eight images at once on a cold cache, each with a docker and a helper of its own.
func (s *site) parallel(t *testing.T) {
	const n = 8
	c := s.client(t, s.config("5m"))
	c.ok(t, helper, "configure", "docker")
	image := func(i int) string { return fmt.Sprintf("%s/hello:p%d", exactHost, i) }
	for i := range n {
		c.ok(t, "crane", "tag", tagged(exactHost), fmt.Sprintf("p%d", i))
	}
	c.ok(t, debianDocker, "logout", exactHost)
	s.asked()
	// All of them wait for AWS together.
	s.aws.SetFault(fakeaws.Fault{Service: "secretsmanager", Kind: fakeaws.Delay, Delay: 500 * time.Millisecond, Times: 1})
	defer func() {
		if err := s.aws.ClearFaults(); err != nil {
			t.Error(err)
		}
	}()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if _, err := c.run(t, debianDocker, "pull", image(i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s.wantAsked(t, "prod/registry")
	for i := range n {
		s.forget(t, image(i))
	}
}

// rotation changes the password while a client has the old one in its cache.
func (s *site) rotation(t *testing.T) {
	pull := func(host string) []string { return []string{debianDocker, "pull", tagged(host)} }
	fill := func(ttl time.Duration) *client {
		c := s.client(t, s.config(ttl.String()))
		c.ok(t, helper, "configure", "docker")
		for host, asked := range s.mapped() {
			c.ok(t, pull(host)...)
			s.wantAsked(t, asked)
		}
		return c
	}

	// The ttl has not ended, a logout ends it.
	c := fill(5 * time.Minute)
	s.rotate(t)
	for host, asked := range s.mapped() {
		c.fails(t, []string{wrongAuth}, pull(host)...)
		s.wantAsked(t)
		c.ok(t, debianDocker, "logout", host)
		c.ok(t, pull(host)...)
		s.wantAsked(t, asked)
	}

	// The ttl ends by itself.
	const ttl = 2 * time.Second
	c = fill(ttl)
	s.rotate(t)
	deadline := time.Now().Add(ttl + 8*time.Second)
	for host, asked := range s.mapped() {
		_, err := c.run(t, pull(host)...)
		for err != nil && time.Now().Before(deadline) {
			_, err = c.run(t, pull(host)...)
		}
		if err != nil {
			t.Errorf("the new password is not seen after a ttl of %v: %v", ttl, err)
		}
		s.wantAsked(t, asked)
	}
}

// moto pulls with an AWS that is not ours.
func (s *site) moto(t *testing.T) {
	m := rig.Use(t, rig.StartMoto, rig.MotoOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cfg := aws.Config{
		Region: "eu-west-1", BaseEndpoint: aws.String(m.URL()),
		Credentials: credentials.NewStaticCredentialsProvider(fakeaws.AccessKeyID, fakeaws.SecretAccessKey, ""),
	}
	made, err := secretsmanager.NewFromConfig(cfg).CreateSecret(ctx, &secretsmanager.CreateSecretInput{
		Name: aws.String(secretNames[0]), SecretString: aws.String(loginJSON(s.password.Value())),
	})
	if err != nil {
		t.Fatal(err)
	}
	// The parameter named arn is for moto's GetParameters: it knows a parameter by ARN only beside one that has for a name
	// what stands before the first colon.
	for name, value := range map[string]string{tokenName: s.password.Value(), "arn": "-"} {
		_, err = ssm.NewFromConfig(cfg).PutParameter(ctx, &ssm.PutParameterInput{
			Name: aws.String(name), Value: aws.String(value), Type: types.ParameterTypeSecureString,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	config := strings.ReplaceAll(s.config("5m"), s.secret, aws.ToString(made.ARN))
	config = strings.ReplaceAll(config, "111122223333", "123456789012") // the account of moto
	c := s.client(t, config, "AWS_ENDPOINT_URL="+m.URL())
	c.ok(t, helper, "configure", "docker")
	for _, image := range []string{tagged(exactHost), tagged(s.withPort())} {
		s.forget(t, image)
		c.ok(t, debianDocker, "pull", image)
	}
	c.fails(t, []string{"get secret prod/hub", "ResourceNotFoundException"}, helper, "check", "docker.io")
	s.wantAsked(t) // nothing of the other AWS
	if s.leaks(m.Log()) {
		t.Error("moto has logged a password")
	}
}
