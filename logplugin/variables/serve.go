package variables

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/secretref/secretref/logplugin/ociruntime/ask"
)

// Limits of Serve.
const (
	readTimeout = 5 * time.Second // for a question, which is written at once
	endTimeout  = 2 * time.Second // for the answers that are under way when Serve ends
)

// Serve answers on l until ctx ends. It closes l. At most connections are answered at once; others wait in the socket.
func (s *Service) Serve(ctx context.Context, l net.Listener, connections int) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	defer l.Close()
	free := make(chan struct{}, max(1, connections))
	answering, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var under sync.WaitGroup
	defer func() {
		late := time.AfterFunc(endTimeout, end)
		under.Wait()
		late.Stop()
	}()
	for {
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		c, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = c.Close()
			}
			return nil
		}
		if err != nil {
			<-free
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("listen on %s: %w", l.Addr(), err)
			}
			s.pause(ctx, err)
			continue
		}
		under.Go(func() {
			defer func() { <-free }()
			s.serve(answering, c)
		})
	}
}

// pause waits after a failure of the moment, such as no free file.
func (s *Service) pause(ctx context.Context, err error) {
	s.o.Log.Warn("a call of secretref-runtime cannot be taken, will retry", "error", err)
	t := time.NewTimer(100 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// serve answers one question.
func (s *Service) serve(ctx context.Context, c net.Conn) {
	defer c.Close()
	defer func() {
		if p := recover(); p != nil { // whose text may be anything
			s.o.Log.Error("panic", "call", "secretref-runtime", "what", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
		}
	}()
	_ = c.SetDeadline(time.Now().Add(readTimeout)) // a connection that has ended says so when it is read
	b, err := io.ReadAll(io.LimitReader(c, ask.MaxQuestion+1))
	if err == nil && len(b) == 0 {
		return // configure runtime looks whether the service is there
	}
	var q ask.Question
	if err != nil || len(b) > ask.MaxQuestion || json.Unmarshal(b, &q) != nil {
		s.o.Log.Warn("a call of secretref-runtime cannot be read", "bytes", len(b))
		return
	}
	_ = c.SetDeadline(time.Now().Add(ask.Timeout)) // as above
	out, err := json.Marshal(s.Answer(ctx, q))
	if err == nil {
		_, err = c.Write(out)
	}
	if err != nil {
		s.o.Log.Warn("secretref-runtime did not take an answer", "container", q.Container, "error", err)
	}
}
