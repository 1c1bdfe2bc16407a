// Package references is what containers may do with references to secrets: how they write them, which ones a host lets
// them name, as whom AWS is asked for them, and what a failure means for a container that is about to start.
//
// It knows nothing of where a reference stands: in a log option, in an option of a volume or in a variable. Its callers
// say so in their errors, or give it as Need.Where.
package references

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/resolve"
	"github.com/secretref/secretref/shared/secret"
	"github.com/secretref/secretref/shared/secretref"
)

// Need is one reference of a container.
type Need struct {
	Ref   secretref.Ref
	Where string // for errors, as in "log-opt splunk-token"
	For   string // for the audit: a resolve.Request's For
}

// Asker asks AWS for containers' references, with the regions and roles of the configuration. It is safe for concurrent use.
type Asker struct {
	config   *config.Config
	resolver *resolve.Resolver

	Again time.Duration // the pause before a denial counts; NewAsker sets it
}

// NewAsker returns an Asker.
func NewAsker(c *config.Config, r *resolve.Resolver) *Asker { return &Asker{c, r, deniedAgain} }

func (a *Asker) request(n Need) resolve.Request {
	return resolve.Request{Ref: n.Ref, Region: a.config.RegionFor(n.Ref, ""), Role: a.config.RoleFor(n.Ref, config.Role{}), For: n.For}
}

// Source returns a secret.Source for n.
func (a *Asker) Source(n Need) secret.Source { return a.resolver.Source(a.request(n)) }

// Resolve asks for all needs at once. The results have their order.
func (a *Asker) Resolve(ctx context.Context, needs ...Need) []resolve.Result {
	requests := make([]resolve.Request, len(needs))
	for i, n := range needs {
		requests[i] = a.request(n)
	}
	return a.resolver.Resolve(ctx, requests...)
}

// Forget makes the next Resolve of these needs ask AWS.
func (a *Asker) Forget(needs ...Need) {
	for _, n := range needs {
		a.resolver.Forget(a.request(n))
	}
}

// Renew makes the next Resolve of these needs ask AWS although their values are kept; see resolve.Resolver.Renew.
func (a *Asker) Renew(needs ...Need) {
	for _, n := range needs {
		a.resolver.Renew(a.request(n))
	}
}

// Unanswered is for how long AWS has left a question without an answer; 0 = there is none.
func (a *Asker) Unanswered() time.Duration { return a.resolver.Status().Unanswered }

// deniedAgain is the pause before a denial counts: a policy that was attached a moment ago is not everywhere yet.
const deniedAgain = time.Second

// Admit returns an error when a container that needs these references cannot have them at present: one that joins all
// permanent failures, or where there is none all that may pass, with the fault.Kind of the first. One round of questions
// takes no longer than wait. A denial is asked for twice.
func (a *Asker) Admit(ctx context.Context, wait time.Duration, needs []Need) error {
	err := a.try(ctx, wait, needs)
	if !errors.Is(err, fault.Denied) {
		return err
	}
	pause := time.NewTimer(a.Again)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
		return err
	}
	a.Forget(needs...) // or the denial is answered from memory
	return a.try(ctx, wait, needs)
}

func (a *Asker) try(ctx context.Context, wait time.Duration, needs []Need) error {
	if len(needs) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var permanent, transient []error
	for i, r := range a.Resolve(ctx, needs...) {
		err := fmt.Errorf("%s: %w", needs[i].Where, r.Err)
		switch {
		case r.Err == nil:
		case fault.KindOf(r.Err).Transient():
			transient = append(transient, err)
		default:
			permanent = append(permanent, err)
		}
	}
	if len(permanent) > 0 {
		return errors.Join(permanent...)
	}
	return errors.Join(transient...)
}
