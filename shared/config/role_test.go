package config

import "testing"

func TestRoleAndRegionFor(t *testing.T) {
	c := load(t, map[string]string{"config.toml": `
[aws]
region = "eu-west-1"
role_arn = "arn:aws:iam::111122223333:role/host"
[accounts."444455556666"]
role_arn = "arn:aws:iam::444455556666:role/account"
[buckets.far]
region = "us-east-1"
[buckets.other]
role_arn = "arn:aws:iam::444455556666:role/bucket"
external_id = "x1"
`})
	for _, tt := range []struct {
		name, reference, ownRole, ownRegion string
		role, region                        string
	}{
		{"a name", "prod/a", "", "", "arn:aws:iam::111122223333:role/host", "eu-west-1"},
		{"an account", "arn:aws:ssm:eu-central-1:444455556666:parameter/a", "", "us-west-2", "arn:aws:iam::444455556666:role/account", "eu-central-1"},
		{"a bucket without a table", "arn:aws:s3:::plain/a", "", "", "arn:aws:iam::111122223333:role/host", "eu-west-1"},
		{"a bucket with a region", "arn:aws:s3:::far/a", "", "", "arn:aws:iam::111122223333:role/host", "us-east-1"},
		{"a bucket with a role", "arn:aws:s3:::other/a", "", "", "arn:aws:iam::444455556666:role/bucket", "eu-west-1"},
		{"the rule's own", "arn:aws:s3:::other/a", "arn:aws:iam::111122223333:role/own", "eu-north-1", "arn:aws:iam::111122223333:role/own", "eu-north-1"},
	} {
		ref := mustRef(t, tt.reference)
		if got := c.RoleFor(ref, Role{RoleARN: tt.ownRole}); got.RoleARN != tt.role {
			t.Errorf("%s: role %q, want %q", tt.name, got.RoleARN, tt.role)
		}
		if got := c.RegionFor(ref, tt.ownRegion); got != tt.region {
			t.Errorf("%s: region %q, want %q", tt.name, got, tt.region)
		}
	}
}
