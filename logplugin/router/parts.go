package router

import (
	"context"
	"time"
)

var _ Gatherer = (*config)(nil)

// Parts are what differs between the Configs of routers. From them and from log options, Config makes one.
type Parts struct {
	// Op is for errors: "read loki log-opts".
	Op   string
	List []Option
	// Renamed are other names of options, each with the one that is in List.
	Renamed map[string]string
	// Check reads all options but those of the encoder; the faults are in v.
	Check func(o Options, v *Values)
	// Encoder makes the encoder of a session; the faults are in v.
	Encoder func(v *Values, s Session) Encoder
	// Router makes the router.
	Router func(o Options) Router
	// Gather is that of a Gatherer; nil means that the router is like others. Its options are not secrets.
	Gather func(v *Values) (bytes int, wait time.Duration)
	// Batches may be under way at once; 0 means the default of package delivery.
	Batches int
}

// Config checks o as far as that is possible without asking for a secret. Options of other drivers are not looked at.
func (p Parts) Config(o Options) (Config, error) {
	o, err := o.Rename(p.Renamed)
	if err != nil {
		return nil, err
	}
	v := o.Unresolved()
	p.Check(o, v)
	p.Encoder(v, Session{})
	if err := v.Err(); err != nil {
		return nil, err
	}
	return &config{p, o}, nil
}

// config is a checked set of options.
type config struct {
	parts   Parts
	options Options
}

// Batches implements Config.
func (c *config) Batches() int { return c.parts.Batches }

// Gather implements Gatherer.
func (c *config) Gather() (bytes int, wait time.Duration) {
	if c.parts.Gather == nil {
		return 0, 0
	}
	return c.parts.Gather(c.options.Unresolved())
}

// Router implements Config.
func (c *config) Router() Router { return c.parts.Router(c.options) }

// Encoder implements Config.
func (c *config) Encoder(ctx context.Context, s Session) (Encoder, error) {
	return c.options.NewEncoder(ctx, c.parts.Op, c.parts.List, func(v *Values) Encoder { return c.parts.Encoder(v, s) })
}
