package fakeaws

import (
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"
)

// FaultKind is what goes wrong.
type FaultKind string

// The faults. Those of the second group are errors that the service words itself.
const (
	Hang         FaultKind = "hang"           // no answer until the client goes away or the server stops
	Delay        FaultKind = "delay"          // the answer comes Fault.Delay later
	Refuse       FaultKind = "refuse"         // connects are refused: Server.Stop, ended by ClearFaults or Restart
	ResetMidBody FaultKind = "reset-mid-body" // half of the answer, then a reset
	GarbageBody  FaultKind = "garbage-body"   // status 200 and a page of HTML, as of a proxy that meddles
	Empty        FaultKind = "empty"          // status 200 and no body

	Throttle     FaultKind = "throttle"      // ThrottlingException
	Status500    FaultKind = "status-500"    // the service's internal error
	Status503    FaultKind = "status-503"    // ServiceUnavailableException
	BadSignature FaultKind = "bad-signature" // InvalidSignatureException; of STS SignatureDoesNotMatch
	ExpiredToken FaultKind = "expired-token" // ExpiredTokenException
	ClockSkew    FaultKind = "clock-skew"    // the server's clock is ahead by Fault.Delay (default an hour), also in Date
	Custom       FaultKind = "custom"        // Fault.Code, Fault.Message and Fault.Status as they are
)

// Fault is something that goes wrong with the calls it matches.
type Fault struct {
	Service string        // "secretsmanager", "ssm", "s3", "sts", "ecr", "ecr-public"; "" = all of these; or "imds"
	Op      string        // "GetSecretValue"; "" = all
	Kind    FaultKind     // never empty
	Times   int           // how many calls it hits; 0 = all until ClearFaults
	Delay   time.Duration // of Delay and ClockSkew

	Code, Message string // of Custom
	Status        int    // of Custom; 0 = the protocol's usual one
}

// SetFault adds a fault. The oldest that matches a call and is not used up hits it.
func (s *Server) SetFault(f Fault) {
	if f.Kind == Refuse {
		s.Stop()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.Times == 0 {
		f.Times = -1
	}
	s.faults = append(s.faults, &f)
}

// ClearFaults ends all faults and listens again if the server was stopped.
func (s *Server) ClearFaults() error {
	s.dropFaults()
	return s.Restart()
}

func (s *Server) dropFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// takeFault returns the fault that hits this call; one without kind does nothing. s.mu is held.
func (s *Server) takeFault(service, op string) Fault {
	for _, f := range s.faults {
		if f.Times == 0 || f.Service != service && (f.Service != "" || service == "imds") || f.Op != "" && f.Op != op {
			continue
		}
		if f.Times > 0 {
			f.Times--
		}
		return *f
	}
	return Fault{}
}

// wait returns false when the client has gone.
func (f Fault) wait(r *http.Request) bool {
	switch f.Kind {
	case Hang:
		<-r.Context().Done()
		return false
	case Delay:
		t := time.NewTimer(f.Delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
			return false
		}
	}
	return true
}

func (f Fault) skew() time.Duration {
	if f.Delay == 0 {
		return time.Hour
	}
	return f.Delay
}

// apiError returns the error with which the service answers by itself, or nil.
func (f Fault) apiError(service string, clock time.Time) *apiError {
	switch f.Kind {
	case Throttle:
		return &apiError{"ThrottlingException", "Rate exceeded", 0}
	case Status500:
		code := "InternalServiceError"
		switch service {
		case "ssm":
			code = "InternalServerError"
		case "s3":
			code = "InternalError"
		case "sts":
			code = "InternalFailure"
		case "ecr", "ecr-public":
			code = "ServerException"
		}
		return &apiError{code, "An error occurred on the server side.", http.StatusInternalServerError}
	case Status503:
		return &apiError{"ServiceUnavailableException", "Service is unable to handle request.", http.StatusServiceUnavailable}
	case BadSignature:
		return &apiError{"InvalidSignatureException", "The request signature we calculated does not match the signature you " +
			"provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.", 0}
	case ExpiredToken:
		return &apiError{"ExpiredTokenException", "The security token included in the request is expired", 0}
	case Custom:
		return &apiError{f.Code, f.Message, f.Status}
	}
	return nil
}

// send writes the answer, spoilt if the fault says so.
func (f Fault) send(w http.ResponseWriter, a answer) {
	length := len(a.body)
	switch f.Kind {
	case Empty:
		a, length = answer{status: http.StatusOK, contentType: a.contentType}, 0
	case GarbageBody:
		a = answer{status: http.StatusOK, contentType: "text/html", body: []byte("<html><body>Please log in to the network</body></html>")}
		length = len(a.body)
	case ResetMidBody:
		a.body = a.body[:length/2]
	}
	w.Header().Set("Content-Type", a.contentType)
	for name, values := range a.header {
		w.Header()[name] = values
	}
	if a.status != http.StatusNotModified {
		w.Header().Set("Content-Length", strconv.Itoa(length))
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // a client that went away is its own business
	if f.Kind == ResetMidBody {
		reset(w)
	}
}

// reset sends what was written, and then a TCP reset in place of the rest.
func reset(w http.ResponseWriter) {
	c := http.NewResponseController(w)
	if err := c.Flush(); err != nil {
		panic(http.ErrAbortHandler)
	}
	conn, _, err := c.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = t.NetConn()
	}
	if t, ok := conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = conn.Close()
}

// check reports whether a fault that came from outside makes sense.
func (f Fault) check() error {
	switch f.Kind {
	case Hang, Delay, Refuse, ResetMidBody, GarbageBody, Empty, Throttle, Status500, Status503, BadSignature, ExpiredToken, ClockSkew:
		return nil
	case Custom:
		if f.Code != "" {
			return nil
		}
		return errors.New("a custom fault needs a code")
	}
	return errors.New("unknown kind of fault: " + strconv.Quote(string(f.Kind)))
}
