package logplugin

import (
	"context"

	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/fluentd"
	"github.com/secretref/secretref/logplugin/router/splunk"
	"github.com/secretref/secretref/logplugin/session"
)

// Routers is the list of log routers. Nothing registers itself: a new one gets an element here.
func Routers() []session.Kind {
	return []session.Kind{
		{
			Table: table("splunk", splunk.Options(), options.Table{
				Required:    []string{"splunk-url", "splunk-token"},
				Credentials: []string{"splunk-token", "splunk-client-key"},
				EmptyTag:    true,
				Address:     options.Address{Option: "splunk-url", Ports: map[string]string{"https": "443", "http": "80"}},
			}),
			Parse: func(o router.Options) (session.Connection, error) {
				c, err := splunk.Parse(o)
				return splunkConnection{c}, err
			},
		},
		{
			Table: table("fluentd", fluentd.Options(), options.Table{
				Credentials: []string{"fluentd-shared-key", "fluentd-password", "fluentd-tls-key"},
				Address: options.Address{
					Option: "fluentd-address", Default: "tcp://127.0.0.1:24224", Scheme: "tcp",
					Ports: map[string]string{"tcp": "24224", "tls": "24224", "unix": ""},
				},
			}),
			Pieces: true,
			Parse: func(o router.Options) (session.Connection, error) {
				c, err := fluentd.Parse(o)
				return fluentdConnection{c}, err
			},
		},
	}
}

// table completes t with the router's own list of options.
func table(name string, list []router.Option, t options.Table) options.Table {
	t.Router = name
	for _, o := range list {
		if o.Session {
			t.Session = append(t.Session, o.Name)
		}
		if !o.Session || o.Apart {
			t.Connection = append(t.Connection, o.Name)
		}
	}
	return t
}

type splunkConnection struct{ c splunk.Config }

func (s splunkConnection) Router() router.Router { return splunk.New(s.c) }

func (s splunkConnection) Batches() int { return s.c.Batches() }

func (s splunkConnection) Encoder(ctx context.Context, x router.Session) (router.Encoder, error) {
	e, err := splunk.NewEncoder(ctx, s.c, x)
	if err != nil {
		return nil, err
	}
	return e, nil
}

type fluentdConnection struct{ c fluentd.Config }

func (f fluentdConnection) Router() router.Router { return fluentd.New(f.c) }

func (f fluentdConnection) Batches() int { return 0 }

func (f fluentdConnection) Encoder(ctx context.Context, x router.Session) (router.Encoder, error) {
	e, err := fluentd.NewEncoder(ctx, f.c, x)
	if err != nil {
		return nil, err
	}
	return e, nil
}
