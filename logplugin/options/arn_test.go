package options

import (
	"errors"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
)

// resource is a router whose destination is a resource of AWS, and maybe an endpoint.
func resource(address *string) router.Kind {
	return router.Kind{
		Name: "resource", Ports: map[string]string{"https": "443"},
		Options: []router.Option{{Name: "resource-name", Address: true}, {Name: "resource-role", Address: true, Role: true}},
		Addresses: func(*router.Values) []router.Address {
			var all []router.Address
			for text := range strings.FieldsSeq(*address) {
				if host, ok := strings.CutPrefix(text, "https://"); ok {
					all = append(all, router.Address{Scheme: "https", Host: host, Port: "443"})
				} else {
					all = append(all, router.Address{ARN: text})
				}
			}
			return all
		},
	}
}

// Where the account or the region of an ARN is not known yet, a container starts if the pattern may describe it, and is asked again
// before lines are sent.
func TestAllowARN(t *testing.T) {
	const (
		whole   = "arn:aws:logs:eu-west-1:111122223333:log-group:/app/web"
		account = "arn:aws:logs:eu-west-1::log-group:/app/web"
		nothing = "arn:aws:logs:::log-group:/app/web"
	)
	type answer struct{ starts, sends bool }
	yes, later, no := answer{true, true}, answer{true, false}, answer{false, false}
	for _, c := range []struct {
		name    string
		pattern string
		address string
		want    answer
	}{
		{"itself", whole, whole, yes}, {"everything", "*", account, yes}, {"a star in the name", "arn:aws:logs:eu-west-1:111122223333:log-group:/app/*", whole, yes},
		{"stars", "arn:aws:logs:*:*:log-group:*", whole, yes}, {"any account", "arn:aws:logs:eu-west-1:*:log-group:/app/*", account, yes},
		{"any region", "arn:aws:logs:*:*:log-group:/app/*", nothing, yes},
		{"the account is not known", whole, account, later}, {"the region is not known", whole, nothing, later},
		{"another account", "arn:aws:logs:eu-west-1:444455556666:log-group:/app/web", whole, no},
		{"another group", "arn:aws:logs:eu-west-1:111122223333:log-group:/sys/*", account, no},
		{"another region", "arn:aws:logs:us-east-1:111122223333:log-group:/app/*", account, no},
		{"another service", "arn:aws:firehose:eu-west-1:111122223333:log-group:/app/web", account, no},
		{"a star stops at a colon", "arn:aws:logs:*:log-group:/app/web", whole, no}, {"fewer fields", "arn:aws:logs:*", account, no},
		{"a bucket", "arn:aws:s3:::logs", "arn:aws:s3:::logs", yes}, {"buckets", "arn:aws:s3:::logs-*", "arn:aws:s3:::logs-web", yes}, {"another bucket", "arn:aws:s3:::logs", "arn:aws:s3:::other", no},
		{"a bucket has no region", "arn:aws:s3:eu-west-1::logs", "arn:aws:s3:::logs", no}, {"a bucket has no account", "arn:aws:s3::111122223333:logs", "arn:aws:s3:::logs", no},
		{"an address", "https://*.example.com:*", whole, no},
		{"the endpoint too", "arn:aws:logs:eu-west-1:*:log-group:/app/*", whole + " https://vpce.example.com", no},
		{"an ARN pattern and an endpoint", "arn:*", "https://vpce.example.com", no},
	} {
		t.Run(c.name, func(t *testing.T) {
			address := c.address
			r := rules()
			r.Kinds = append(r.Kinds, resource(&address))
			r.AllowRouters = []string{c.pattern}
			o, err := r.Parse(map[string]string{"logDriver": "resource", "resource-name": "x"}, info())
			if (err == nil) != c.want.starts {
				t.Fatalf("%s with %s: %v, want that it starts: %v", c.address, c.pattern, err, c.want.starts)
			}
			if !c.want.starts {
				return
			}
			v := router.Options{Plain: o.Plain}.Unresolved()
			err = r.CheckUse(o, v)
			if (err == nil) != c.want.sends || errors.Is(err, router.ErrAccountUnknown) != (c.want == later) {
				t.Errorf("%s with %s: before lines are sent %v, want that they are: %v", c.address, c.pattern, err, c.want.sends)
			}
			if c.want != later {
				return
			}
			for known, allowed := range map[string]bool{whole: true, strings.Replace(whole, "1111", "9999", 1): false} {
				address = known
				if err := r.CheckUse(o, v); (err == nil) != allowed || errors.Is(err, router.ErrAccountUnknown) {
					t.Errorf("once it is known to be %s: %v, want that it is allowed: %v", known, err, allowed)
				}
			}
		})
	}
}

// A container may name no role but those of allow_roles, written out or by reference; the host's own destinations may.
func TestAllowRoles(t *testing.T) {
	const role = "arn:aws:iam::111122223333:role/logs-web"
	address := "arn:aws:logs:eu-west-1:111122223333:log-group:x"
	for _, c := range []struct {
		name     string
		patterns []string
		ok       bool
	}{
		{"none by default", nil, false}, {"itself", []string{role}, true}, {"a star", []string{"arn:aws:iam::111122223333:role/logs-*"}, true},
		{"another account", []string{"arn:aws:iam::444455556666:role/*"}, false}, {"all", []string{"*"}, true},
	} {
		r := rules()
		r.Kinds, r.AllowRoles = append(r.Kinds, resource(&address)), c.patterns
		given := map[string]string{"logDriver": "resource", "resource-role": role}
		o, err := r.Parse(given, info())
		var no *NotAllowedError
		if (err == nil) != c.ok || err != nil && (!errors.As(err, &no) || !strings.Contains(err.Error(), "allow_roles") || !strings.Contains(err.Error(), role)) {
			t.Errorf("%s: %v, want ok %v", c.name, err, c.ok)
		}
		if err := r.CheckUse(o, router.Options{Plain: o.Plain}.Unresolved()); (err == nil) != c.ok {
			t.Errorf("%s: before lines are sent: %v, want ok %v", c.name, err, c.ok)
		}
		// By reference it is known only then.
		o, err = r.Parse(map[string]string{"logDriver": "resource", "secretOptions.resource-role": "/role"}, info())
		if err != nil {
			t.Fatal(err)
		}
		if err := r.CheckUse(o, router.Options{Plain: map[string]string{"resource-role": role}}.Unresolved()); (err == nil) != c.ok {
			t.Errorf("%s, by reference: %v, want ok %v", c.name, err, c.ok)
		}
		r.Destinations = map[string]map[string]string{"prod": given}
		if o, err = r.Parse(map[string]string{"destination": "prod"}, info()); err != nil {
			t.Errorf("%s, of the configuration: %v", c.name, err)
		}
		if err := r.CheckUse(o, router.Options{Plain: o.Plain}.Unresolved()); err != nil {
			t.Errorf("%s, of the configuration: before lines are sent: %v", c.name, err)
		}
	}
}
