// Package resolve turns references into values: the values of secrets in AWS Secrets Manager and of parameters in SSM
// Parameter Store, as Amazon ECS reads them, and the text of objects in Amazon S3.
//
// Give it all the references that belong together in one call. Several keys of one secret cost one call and come from
// one version; parameters are asked for in batches of ten for each region and account; regions are asked in parallel;
// and at any moment at most one call for one secret is under way in a process, whoever asks. Every reference that
// fails is reported, each with a *fault.Error.
//
// A Resolver with a Policy keeps values in memory, never elsewhere.
package resolve

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/s3"
	"github.com/secretref/secretref/shared/secret"
	"github.com/secretref/secretref/shared/secretref"
	"github.com/secretref/secretref/shared/ttl"
)

// Request asks for one reference.
type Request struct {
	Ref    secretref.Ref
	Region string      // for a reference without a region; "" = the session's
	Role   config.Role // who asks; zero = the host itself
	For    string      // for whom, in an Access, as in "container 4f2d1c"; it changes nothing else
}

// Result is the answer to one Request.
type Result struct {
	Value     secret.Value
	VersionID string // of the secret or object, or the version number of the parameter; "" in a bucket without versions
	Err       error  // a *fault.Error, or nil
	Stale     error  // why an older value stands in, when one does
}

// Options of a Resolver. The zero Options keep no value and give a call 10 seconds.
type Options struct {
	Policy  ttl.Policy
	Timeout time.Duration    // for one call to AWS with its attempts; also bounded by the context of the first who asks
	Now     func() time.Time // nil = time.Now
	// Observe is called with the outcome of each secret or parameter that AWS was asked for; "" = a value. nil means no callback.
	Observe func(fault.Kind)
	// Audit is called for each reference that was resolved or refused, from any goroutine: once for each Request.For until
	// AWS is asked again. nil means no callback.
	Audit func(Access)
}

// Resolver resolves references. It is safe for concurrent use.
type Resolver struct {
	session *awsconf.Session
	objects *s3.Client
	policy  ttl.Policy
	timeout time.Duration
	now     func() time.Time
	observe func(fault.Kind)
	audit   func(Access)   // nil = none
	calls   sync.WaitGroup // the flights under way

	mu    sync.Mutex
	units map[unit]*entry
}

// unit is what one call reads: a version of a secret or a parameter, whole, as one identity.
type unit struct {
	service        secretref.Service
	region         string
	role           config.Role
	account        string
	name           string // SecretId, one of Names, or BUCKET/KEY
	partition      string // of an object
	stage, version string
}

// entry is what is known of a unit. Its fields are guarded by Resolver.mu; done is closed when a flight has landed.
type entry struct {
	done   chan struct{} // of the flight under way; nil = none
	answer answer
	window ttl.Window
	stale  error // of the last flight, when the answer of an earlier one was kept

	asked, tried time.Time    // when the question without an answer was asked first; when it was last tried
	told         map[use]bool // the uses of this answer that Audit was called with
}

// answer is the outcome of reading one unit.
type answer struct {
	text      secret.Value // the whole SecretString or parameter
	versionID string
	etag      string // of an object
	err       error
}

// New returns a Resolver that asks AWS through session.
func New(session *awsconf.Session, o Options) *Resolver {
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Observe == nil {
		o.Observe = func(fault.Kind) {}
	}
	return &Resolver{session: session, objects: s3.New(session), policy: o.Policy, timeout: o.Timeout, now: o.Now, observe: o.Observe, audit: o.Audit, units: map[unit]*entry{}}
}

// Close waits for the calls that are under way; each ends within Options.Timeout.
func (r *Resolver) Close() { r.calls.Wait() }

// Resolve answers each request, in their order. It returns when all have an answer or ctx ends.
func (r *Resolver) Resolve(ctx context.Context, requests ...Request) []Result {
	requests = slices.Clone(requests)
	results := make([]Result, len(requests))
	units := make([]unit, len(requests))
	wanted := map[unit]bool{}
	for i, q := range requests {
		u, err := r.unit(ctx, q)
		if err != nil {
			results[i].Err = explain(q, err)
			continue
		}
		requests[i].Region = u.region // for error texts
		units[i], wanted[u] = u, true
	}
	flights := r.fly(ctx, wanted)
	for i, q := range requests {
		if results[i].Err == nil {
			results[i] = r.result(ctx, q, flights[units[i]])
		}
		r.access(q, flights[units[i]].entry, results[i])
	}
	return results
}

func (r *Resolver) unit(ctx context.Context, q Request) (unit, error) {
	u := unit{service: q.Ref.Service, region: q.Ref.Region, role: q.Role, account: q.Ref.Account}
	if u.region == "" {
		u.region = q.Region
	}
	if u.region == "" {
		var err error
		if u.region, err = r.session.Region(ctx); err != nil {
			return u, regionError(q.Ref, err)
		}
	}
	switch u.service {
	case secretref.SSM:
		u.name = q.Ref.ParameterName()
	case secretref.S3:
		u.name, u.partition = q.Ref.Name, q.Ref.Partition
	default:
		u.name, u.stage, u.version = q.Ref.SecretID(), q.Ref.Stage(), q.Ref.VersionID
	}
	return u, nil
}

// flight is what a passenger holds: the entry, and what says that it may be read.
type flight struct {
	*entry
	landed <-chan struct{} // nil = at once
}

// fly starts a flight for each unit that has no fresh answer and no flight yet.
func (r *Resolver) fly(ctx context.Context, wanted map[unit]bool) map[unit]flight {
	r.mu.Lock()
	defer r.mu.Unlock()
	flights := make(map[unit]flight, len(wanted))
	var start []unit
	for u := range wanted {
		e := r.units[u]
		if e == nil {
			e = &entry{}
			r.units[u] = e
		}
		if e.done == nil && !e.window.IsFresh(r.now()) {
			e.begin(r.now())
			start = append(start, u)
		}
		flights[u] = flight{e, e.done}
	}
	for _, batch := range batches(start) {
		r.calls.Go(func() {
			// The flight may have other passengers than the one whose ctx this is.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.timeout)
			defer cancel()
			r.land(r.read(ctx, batch))
		})
	}
	return flights
}

// land keeps the outcome of a flight and wakes those who wait for it.
func (r *Resolver) land(answers map[unit]answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	for u, a := range answers {
		e := r.units[u]
		kind := fault.KindOf(a.err)
		r.observe(kind)
		switch {
		case a.err == nil:
			e.answer, e.window, e.stale = a, r.policy.Value(now), nil
		case kind.Transient() && e.answer.err == nil && e.window.IsUsable(now):
			e.window, e.stale = e.window.StaleServed(now), a.err
		default:
			e.answer, e.window, e.stale = a, ttl.Window{}, nil
			if r.policy.TTL > 0 {
				e.window = ttl.Failure(kind, now)
			}
		}
		e.end(now, kind)
	}
	r.forget(now)
}

// forget drops what can be of no more use, so that a process that lives for months does not collect every reference it
// ever met. Those who hold a flight still have its entry.
func (r *Resolver) forget(now time.Time) {
	maps.DeleteFunc(r.units, func(_ unit, e *entry) bool { return e.done == nil && !e.window.IsUsable(now) && !e.waits(now) })
}

// result waits for the flight and reads the reference's part of the answer. When ctx ends first, a value that is kept stands in.
func (r *Resolver) result(ctx context.Context, q Request, f flight) Result {
	var late error
	if f.landed != nil {
		select {
		case <-f.landed:
		case <-ctx.Done():
			late = &fault.Error{Kind: fault.Unreachable, Cause: "no answer before the deadline", Err: ctx.Err(),
				Hint: "is there a route to AWS (VPC endpoint, NAT, proxy, security group)?"}
		}
	}
	r.mu.Lock()
	a, stale := f.answer, f.stale
	if late != nil && (a.err != nil || !f.window.IsUsable(r.now())) {
		a, stale = answer{err: late}, nil
	} else if late != nil {
		stale = late
	}
	r.mu.Unlock()
	if a.err != nil {
		return Result{Err: explain(q, a.err)}
	}
	value, err := extract(q.Ref, a.text)
	if err != nil {
		return Result{VersionID: a.versionID, Err: explain(q, err)}
	}
	res := Result{Value: value, VersionID: a.versionID}
	if stale != nil {
		res.Stale = explain(q, stale)
	}
	return res
}

// Source returns a secret.Source for one request. Its Get serves from memory as the Policy says.
func (r *Resolver) Source(q Request) secret.Source { return source{r, q} }

type source struct {
	r *Resolver
	q Request
}

func (s source) Get(ctx context.Context) (secret.Value, error) {
	res := s.r.Resolve(ctx, s.q)[0]
	return res.Value, res.Err
}

func (s source) Invalidate(v secret.Value) {
	s.r.change(s.q, func(e *entry) {
		if e.answer.err != nil {
			return
		}
		if present, err := extract(s.q.Ref, e.answer.text); err == nil && present.Equal(v) {
			// Its end goes too: a value that was refused must not stand in for a failure.
			e.window = ttl.Window{}
		}
	})
}
