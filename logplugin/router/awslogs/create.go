package awslogs

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/secretref/secretref/logplugin/awsrouter"
	"github.com/secretref/secretref/logplugin/router"
)

const (
	// settleTime is how long after its creation a stream may still be unknown to a part of CloudWatch Logs.
	settleTime = 30 * time.Second
	// maxCreations bounds how many streams are remembered.
	maxCreations = 10_000
)

// creations are the log groups and streams that the driver creates: each once, however many routers and containers find that it is
// missing.
type creations struct {
	mu    sync.Mutex
	known map[string]*creation
}

// creation is one of them. Its holder has taken turn.
type creation struct {
	turn chan struct{}
	done time.Time // zero = not yet
}

func newCreations() *creations { return &creations{known: map[string]*creation{}} }

func (c *creations) of(key string) *creation {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.known[key]
	if x == nil {
		if len(c.known) >= maxCreations {
			clear(c.known)
		}
		x = &creation{turn: make(chan struct{}, 1)}
		c.known[key] = x
	}
	return x
}

// once calls create for the key, unless that was done a moment ago: then it says that CloudWatch Logs needs some time.
func (c *creations) once(ctx context.Context, key, op string, create func() *router.Error) *router.Error {
	x := c.of(key)
	select {
	case x.turn <- struct{}{}:
		defer func() { <-x.turn }()
	case <-ctx.Done():
		return &router.Error{Class: router.ClassRetry, Op: op, Cause: "stopped", Bad: router.NoRecord}
	}
	if !x.done.IsZero() && time.Since(x.done) < settleTime {
		return nil
	}
	failed := create()
	if failed == nil {
		x.done = time.Now()
	}
	return failed
}

// create creates what is missing: the stream, and before it the group where that is missing too. missing is the refusal that said
// so, and is what stays where the options do not allow to create anything.
func (r *Router) create(ctx context.Context, u *awsrouter.Use, s settings, stream string, missing *awsrouter.Refusal) *router.Error {
	if !s.createStream {
		return missingError(s, stream, missing)
	}
	key := u.Key + " " + s.group
	return r.made.once(ctx, key+":"+stream, "create a log stream", func() *router.Error {
		refused := call(ctx, u, "create log stream "+stream+" of log group "+s.group, "CreateLogStream", map[string]any{"logGroupName": s.group, "logStreamName": stream})
		switch {
		case refused.Is("ResourceNotFoundException") && !s.createGroup:
			return missingError(s, stream, refused)
		case refused.Is("ResourceNotFoundException"):
			failed := r.made.once(ctx, key, "create a log group", func() *router.Error { return s.createsGroup(ctx, u) })
			if failed != nil {
				return failed
			}
			refused = call(ctx, u, "create log stream "+stream+" of log group "+s.group, "CreateLogStream", map[string]any{"logGroupName": s.group, "logStreamName": stream})
		}
		return errorOf(refused)
	})
}

// createsGroup creates the log group, and says how long it keeps its events.
func (s settings) createsGroup(ctx context.Context, u *awsrouter.Use) *router.Error {
	group := map[string]any{"logGroupName": s.group}
	if s.class != "" {
		group["logGroupClass"] = s.class
	}
	failed := errorOf(call(ctx, u, "create log group "+s.group, "CreateLogGroup", group))
	if failed != nil || s.retention == 0 {
		return failed
	}
	return errorOf(call(ctx, u, "set the retention of log group "+s.group, "PutRetentionPolicy", map[string]any{"logGroupName": s.group, "retentionInDays": s.retention}))
}

// call makes one call that creates something. What is there already counts as created.
func call(ctx context.Context, u *awsrouter.Use, op, operation string, names map[string]any) *awsrouter.Refusal {
	body, err := json.Marshal(names)
	if err != nil {
		return &awsrouter.Refusal{Error: &router.Error{Class: router.ClassConfig, Op: op, Cause: "the names cannot be written as JSON", Bad: router.NoRecord}}
	}
	_, refused := u.Call(ctx, op+" ("+u.Shown()+")", operation, body, http.Header{})
	if refused.Is("ResourceAlreadyExistsException") {
		return nil
	}
	return refused
}

// errorOf returns the error of a refusal. Its class is not one of records: it is about a name.
func errorOf(refused *awsrouter.Refusal) *router.Error {
	if refused == nil {
		return nil
	}
	if c := refused.Error.Class; c == router.ClassBadRecords || c == router.ClassTooLarge {
		refused.Error.Class = router.ClassConfig
	}
	return refused.Error
}

// missingError says what to do about a group or a stream that is not there and may not be created.
func missingError(s settings, stream string, missing *awsrouter.Refusal) *router.Error {
	missing.Error.Class = router.ClassConfig
	missing.Error.Hint = "create log group " + s.group + ", or give " + createGroup + "=true"
	if !s.createStream {
		missing.Error.Hint = "create log group " + s.group + " and log stream " + stream + ", or give " + createStream + "=true"
	}
	return missing.Error
}
