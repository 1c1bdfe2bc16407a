package awslogs

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"
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

// creation is one of them. Its holder has taken turn, but for seen.
type creation struct {
	turn chan struct{}
	done time.Time   // zero = not yet
	seen atomic.Bool // events were stored in it since
	owes atomic.Bool // of a group that was created: how long it keeps events is still to be set
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

// stored notes that events were stored in what has the keys: if it is missing later, somebody has deleted it.
func (c *creations) stored(keys ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range keys {
		if x := c.known[key]; x != nil {
			x.seen.Store(true)
		}
	}
}

// once calls create for the key, which was missing for a request that was made at asked, unless it was created since, or so short a time ago
// that a part of CloudWatch Logs may not know of it.
func (c *creations) once(ctx context.Context, key, op string, asked time.Time, create func(*creation) *awsrouter.Refusal) *awsrouter.Refusal {
	x := c.of(key)
	select {
	case x.turn <- struct{}{}:
		defer func() { <-x.turn }()
	case <-ctx.Done():
		return &awsrouter.Refusal{Error: &router.Error{Class: router.ClassRetry, Op: op, Cause: "stopped", Bad: router.NoRecord}}
	}
	if !x.owes.Load() && !x.done.IsZero() && (x.done.After(asked) || !x.seen.Load() && time.Since(x.done) < settleTime) {
		return nil
	}
	failed := create(x)
	if failed == nil {
		x.done = time.Now()
		x.seen.Store(false)
	}
	return failed
}

// create creates what was missing for a request that was made at asked: the stream, and before it the group where that is missing too.
// missing is the refusal that said so, and is what stays where the options do not allow to create anything.
func (s *sending) create(ctx context.Context, stream string, asked time.Time, missing *awsrouter.Refusal) *awsrouter.Refusal {
	if !s.settings.createStream {
		return s.settings.missing(stream, missing)
	}
	made, group, u := s.router.made, s.settings.group, s.use
	return made.once(ctx, s.key(stream), "create a log stream", asked, func(*creation) *awsrouter.Refusal {
		makeGroup := func() *awsrouter.Refusal {
			return made.once(ctx, s.key(""), "create a log group", asked, func(x *creation) *awsrouter.Refusal { return s.settings.createsGroup(ctx, u, x) })
		}
		if made.of(s.key("")).owes.Load() {
			if failed := makeGroup(); failed != nil {
				return failed
			}
		}
		op, names := "create log stream "+stream+" of log group "+group, map[string]any{"logGroupName": group, "logStreamName": stream}
		refused := call(ctx, u, op, "CreateLogStream", names)
		switch {
		case refused.Is("ResourceNotFoundException") && !s.settings.createGroup:
			return s.settings.missing(stream, refused)
		case refused.Is("ResourceNotFoundException"):
			if failed := makeGroup(); failed != nil {
				return failed
			}
			refused = call(ctx, u, op, "CreateLogStream", names)
		}
		return aboutName(refused)
	})
}

// key is that of a stream among the creations, or that of the group.
func (s *sending) key(stream string) string { return s.use.Key + " " + s.settings.group + ":" + stream }

// createsGroup creates the log group, and says how long it keeps its events. What could not be said is said before a stream is created.
func (s settings) createsGroup(ctx context.Context, u *awsrouter.Use, x *creation) *awsrouter.Refusal {
	if !x.owes.Load() {
		group := map[string]any{"logGroupName": s.group}
		if s.class != "" {
			group["logGroupClass"] = s.class
		}
		if len(s.tags) > 0 {
			group["tags"] = s.tags
		}
		failed := aboutName(call(ctx, u, "create log group "+s.group, "CreateLogGroup", group))
		if failed != nil || s.retention == 0 {
			return failed
		}
		x.owes.Store(true)
	}
	failed := aboutName(call(ctx, u, "set the retention of log group "+s.group, "PutRetentionPolicy", map[string]any{"logGroupName": s.group, "retentionInDays": s.retention}))
	if failed == nil || failed.Is("ResourceNotFoundException") { // it was deleted: it is created again
		x.owes.Store(false)
	}
	return failed
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

// aboutName returns a refusal of names. Its class is not one of records.
func aboutName(refused *awsrouter.Refusal) *awsrouter.Refusal {
	if refused == nil {
		return nil
	}
	if c := refused.Error.Class; c == router.ClassBadRecords || c == router.ClassTooLarge {
		refused.Error.Class = router.ClassConfig
	}
	return refused
}

// missing says what to do about a group or a stream that is not there and may not be created.
func (s settings) missing(stream string, refused *awsrouter.Refusal) *awsrouter.Refusal {
	refused.Error.Class = router.ClassConfig
	refused.Error.Hint = "create log group " + s.group + ", or give " + createGroup + "=true"
	if !s.createStream {
		refused.Error.Hint = "create log group " + s.group + " and log stream " + stream + ", or give " + createStream + "=true"
	}
	return refused
}
