package fakeaws

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Seed is what a Server may start with. It is read from a file by the fakeaws command.
type Seed struct {
	Secrets    []Secret      `json:"secrets"`
	Parameters []Parameter   `json:"parameters"`
	Objects    []Object      `json:"objects"`
	Roles      []Role        `json:"roles"`
	IMDS       IMDS          `json:"imds"`
	ECR        RegistryToken `json:"ecr"`
	ECRPublic  RegistryToken `json:"ecrPublic"`
}

// ReadSeed reads a Seed in JSON. A key that is not known is an error.
func ReadSeed(r io.Reader) (Seed, error) {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	var seed Seed
	if err := d.Decode(&seed); err != nil {
		return Seed{}, fmt.Errorf("read seed: %w", err)
	}
	return seed, nil
}

// Put adds everything that is in the seed.
func (s *Server) Put(seed Seed) {
	for _, sec := range seed.Secrets {
		s.PutSecret(sec)
	}
	for _, p := range seed.Parameters {
		s.PutParameter(p)
	}
	for _, o := range seed.Objects {
		s.PutObject(o)
	}
	for _, r := range seed.Roles {
		s.PutRole(r)
	}
	s.SetIMDS(seed.IMDS)
	s.SetECRToken(seed.ECR)
	s.SetECRPublicToken(seed.ECRPublic)
}

// serveAdmin answers what a demo needs to steer the server from outside, on both addresses:
//
//	POST   /_fault  a Fault in JSON: {"kind":"delay","delay":"2s","op":"GetSecretValue","times":1}
//	DELETE /_fault  ends all faults
//	GET    /_calls  the calls, in JSON
//
// "refuse" closes the API's address, so it is taken, and ended, on the address of the metadata service only.
func (s *Server) serveAdmin(w http.ResponseWriter, r *http.Request, survivesRefuse bool) {
	switch r.Method + " " + r.URL.Path {
	case "POST /_fault":
		f, err := decodeFault(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if f.Kind == Refuse && !survivesRefuse {
			http.Error(w, "this address is about to refuse connections; send this to "+s.IMDSURL, http.StatusConflict)
			return
		}
		s.SetFault(f)
		w.WriteHeader(http.StatusNoContent)
	case "DELETE /_fault":
		end := s.ClearFaults
		if !survivesRefuse { // who reads this here has nothing to restart
			end = func() error { s.dropFaults(); return nil }
		}
		if err := end(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	case "GET /_calls":
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(append(mustJSON(s.Calls()), '\n'))
	default:
		http.NotFound(w, r)
	}
}

func decodeFault(r io.Reader) (Fault, error) {
	var in struct {
		Service, Op, Kind, Delay, Code, Message string
		Times, Status                           int
	}
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return Fault{}, fmt.Errorf("read fault: %w", err)
	}
	f := Fault{Service: in.Service, Op: in.Op, Kind: FaultKind(in.Kind), Times: in.Times, Code: in.Code, Message: in.Message, Status: in.Status}
	if in.Delay != "" {
		var err error
		if f.Delay, err = time.ParseDuration(in.Delay); err != nil {
			return Fault{}, fmt.Errorf("read fault: %w", err)
		}
	}
	return f, f.check()
}
