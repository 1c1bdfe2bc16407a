package fakeaws

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Call is one request that arrived, to an API or to the metadata service.
type Call struct {
	Service     string    `json:"service"`               // as in the signature; "imds" for the metadata service
	Op          string    `json:"op"`                    // "GetSecretValue"; of the metadata service method and path
	Region      string    `json:"region,omitempty"`      // of the signature
	Identity    string    `json:"identity,omitempty"`    // ARN of the caller; "" if the access key is not known
	Resources   []string  `json:"resources,omitempty"`   // secret id, parameter names, role: as they were asked for
	Stage       string    `json:"stage,omitempty"`       // VersionStage, if it was sent
	VersionID   string    `json:"versionId,omitempty"`   // VersionId, if it was sent
	NotModified bool      `json:"notModified,omitempty"` // of GetObject: the caller has it already
	Session     string    `json:"session,omitempty"`     // RoleSessionName of AssumeRole
	Error       string    `json:"error,omitempty"`       // code of the error that was answered, or kind of the fault
	Time        time.Time `json:"time"`
}

// Calls returns all calls since the start or ResetCalls, oldest first.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Call, len(s.calls))
	for i, c := range s.calls {
		list[i] = *c
		list[i].Resources = slices.Clone(c.Resources)
	}
	return list
}

// CountCalls counts the calls of an operation; "" counts all, those to the metadata service included.
func (s *Server) CountCalls(op string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count(op)
}

func (s *Server) count(op string) int {
	n := 0
	for _, c := range s.calls {
		if op == "" || c.Op == op {
			n++
		}
	}
	return n
}

// WaitCalls waits until n calls of an operation have arrived; they need not be answered yet.
func (s *Server) WaitCalls(ctx context.Context, op string, n int) error {
	for {
		s.mu.Lock()
		have, called := s.count(op), s.called
		s.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-called:
		case <-ctx.Done():
			return errors.New("wait for calls of " + op + ": " + ctx.Err().Error())
		}
	}
}

// ResetCalls forgets the calls.
func (s *Server) ResetCalls() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = nil
}

// record notes that a call has arrived, and takes the fault that hits it; one without kind does nothing.
func (s *Server) record(c Call) (*Call, Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.takeFault(c.Service, c.Op)
	c.Time, c.Error = s.now(), string(f.Kind)
	s.calls = append(s.calls, &c)
	close(s.called)
	s.called = make(chan struct{})
	return &c, f
}

// finish notes how the call ended.
func (s *Server) finish(c *Call, err error) {
	var e *apiError
	if errors.As(err, &e) {
		s.mu.Lock()
		defer s.mu.Unlock()
		c.Error = e.code
	}
}
