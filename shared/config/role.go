package config

// RoleFor returns the role through which something of an account is read: the rule's own, else the one under
// [accounts], else the one under [aws]. Exactly one role is assumed, from the host's own credentials; the zero Role
// means that these are used as they are. An account of "" has none under [accounts].
func (c *Config) RoleFor(account string, own Role) Role {
	if own.RoleARN != "" {
		return own
	}
	if r, ok := c.Accounts[account]; ok {
		return r
	}
	return Role{c.AWS.RoleARN, c.AWS.ExternalID}
}
