package hectest

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"strings"
	"time"
)

// Fault is what happens to one request instead of what should. The zero Fault is none.
//
// Its size has a reason: each field is a fault of its own, and a test sets one or two of them.
type Fault struct {
	Code       int           // answer with this HEC code and its status, but for 0
	Status     int           // answer with this status; with Code 0 without HEC's JSON
	Bad        *int          // invalid-event-number of the answer
	RetryAfter string        // the header of the answer
	HTML       bool          // answer with a web page, of status 200 unless Status is set
	Hang       bool          // answer nothing until the client goes or Close
	Early      bool          // answer before the request is read
	Cut        bool          // promise an answer, send half of it, close
	Drop       bool          // close without an answer
	Location   string        // redirect there
	Delay      time.Duration // before all that
	Body       string        // answer with it, of status 200 unless Status is set
	Type       string        // Content-Type of the answer
	Padding    int           // bytes of another header
	Endless    bool          // repeat Body until the client goes
	Slow       bool          // send Body a byte at a time, and never its end
}

// fail does what f says; done is false for the zero Fault.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, f Fault) (status int, done bool) {
	if f.Type != "" {
		w.Header().Set("Content-Type", f.Type)
	}
	if f.Padding > 0 {
		w.Header().Set("X-Padding", strings.Repeat("x", f.Padding))
	}
	switch {
	case f.Body != "":
		return s.body(w, r, f), true
	case f.Hang:
		s.wait(r.Context(), nil)
		panic(http.ErrAbortHandler)
	case f.Drop:
		panic(http.ErrAbortHandler)
	case f.Cut:
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, `{"text":"Succ`)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case f.HTML, f.Location != "", f.Code != 0, f.Status != 0:
		return s.answer(w, f), true
	}
	return 0, false
}

func (s *Server) answer(w http.ResponseWriter, f Fault) int {
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.RetryAfter)
	}
	status := f.Status
	switch {
	case f.Location != "":
		w.Header().Set("Location", f.Location)
		if status == 0 {
			status = http.StatusTemporaryRedirect
		}
	case f.HTML:
		if status == 0 {
			status = http.StatusOK
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<!DOCTYPE html><html><body>Sign in</body></html>")
		return status
	case f.Code != 0:
		return s.code(w, f.Code, f.Bad, 0, false)
	}
	return s.plain(w, status)
}

// body answers with the fault's own body.
func (s *Server) body(w http.ResponseWriter, r *http.Request, f Fault) int {
	status := cmp.Or(f.Status, http.StatusOK)
	w.WriteHeader(status)
	for i := 0; ; i++ {
		text := f.Body
		if f.Slow {
			text = f.Body[i%len(f.Body):][:1]
		}
		_, err := io.WriteString(w, text)
		_ = http.NewResponseController(w).Flush()
		switch {
		case !f.Endless && !f.Slow:
			return status
		case err != nil, f.Slow && !s.wait(r.Context(), time.After(20*time.Millisecond)):
			panic(http.ErrAbortHandler)
		}
	}
}

// wait returns true when until has come, false when the client or the receiver is gone.
func (s *Server) wait(ctx context.Context, until <-chan time.Time) bool {
	select {
	case <-until:
		return true
	case <-ctx.Done():
	case <-s.gone:
	}
	return false
}
