package config

import (
	"cmp"

	"github.com/secretref/secretref/shared/secretref"
)

// RoleFor returns the role through which a reference is read: the rule's own, else the one under [accounts] or [buckets], else
// the one under [aws]. Exactly one role is assumed, from the host's own credentials; the zero Role means that these are used as
// they are.
func (c *Config) RoleFor(ref secretref.Ref, own Role) Role {
	if own.RoleARN != "" {
		return own
	}
	if r, ok := c.Accounts[ref.Account]; ok {
		return r
	}
	bucket, _ := ref.Object()
	if b, ok := c.Buckets[bucket]; ok && b.Role.RoleARN != "" {
		return b.Role
	}
	return Role{c.AWS.RoleARN, c.AWS.ExternalID}
}

// RegionFor returns the region in which a reference is read: its own, else the rule's, else the one under [buckets], else the one
// under [aws]; "" when none is given.
func (c *Config) RegionFor(ref secretref.Ref, own string) string {
	bucket, _ := ref.Object()
	return cmp.Or(ref.Region, own, c.Buckets[bucket].Region, c.AWS.Region)
}
