package session

import (
	"context"

	"github.com/secretref/secretref/logplugin/options"
	"github.com/secretref/secretref/logplugin/router"
)

// Kind is one kind of log router, as the list of routers names it.
type Kind struct {
	Table options.Table
	// Pieces tells that the router sends the pieces of a long line as they come; for others they are joined.
	Pieces bool
	// Parse checks a container's options for the router. Nobody is asked.
	Parse func(router.Options) (Connection, error)
}

// Connection is a checked set of router options: it makes the router, and encoders for it.
type Connection interface {
	Router() router.Router
	// Batches is how many of the router's batches may be under way at once; 0 = the default of package delivery.
	Batches() int
	// Encoder asks the sources of the session's options, if any are secrets. An error is a *router.Error.
	Encoder(ctx context.Context, s router.Session) (router.Encoder, error)
}
