// Package null is the router that delivers nothing: lines are read, kept for docker logs, and counted as sent.
//
// Use it through package router, for containers whose lines only docker logs shows, and to measure what a line costs
// before a router sends it. It has no options and no address, and it cannot fail.
package null

import (
	"context"

	"github.com/secretref/secretref/logplugin/router"
)

// Kind describes the router.
func Kind() router.Kind {
	return router.Kind{Name: "null", Pieces: true, New: func(o router.Options) (router.Config, error) { return nothing{}, o.Unresolved().Err() }}
}

// nothing is the configuration, the router and the encoder: none of them has anything to remember.
type nothing struct{}

// Batches implements router.Config.
func (nothing) Batches() int { return 1 }

// Router implements router.Config.
func (nothing) Router() router.Router { return nothing{} }

// Encoder implements router.Config.
func (nothing) Encoder(context.Context, router.Session) (router.Encoder, error) {
	return nothing{}, nil
}

// AppendRecord implements router.Encoder. It appends one byte: a record without one would not be counted as sent.
func (nothing) AppendRecord(dst []byte, _ *router.Record) []byte { return append(dst, 0) }

// Send implements router.Router.
func (nothing) Send(context.Context, *router.Batch) error { return nil }

// Close implements router.Router.
func (nothing) Close() error { return nil }
