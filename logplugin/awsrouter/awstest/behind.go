package awstest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// What another server may answer, and how long it may take.
const (
	maxAnswer     = 16 << 20
	answerTimeout = 30 * time.Second
)

// Behind makes another server, which looks at no signature, do the work of this one: what it stores is not here. This server still verifies
// signatures, counts calls, and has its faults.
func (s *Server) Behind(url string) {
	s.mu.Lock()
	s.behind = url
	s.mu.Unlock()
}

// forward makes a call to the server behind this one. The caller holds the lock of the service, and serve that of the server.
func (s *Server) forward(operation string, body []byte) Answer {
	return Call(s.behind, s.target+operation, body)
}

// Call makes a call in the JSON protocol of AWS to a server that looks at no signature, as moto. target is that of the service with the
// operation behind it.
func Call(url, target string, body []byte) Answer {
	service, _, _ := strings.Cut(strings.ToLower(target), "_")
	failed := func(err error) Answer {
		return Answer{Code: "InternalFailure", Message: err.Error(), Status: http.StatusInternalServerError}
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return failed(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", target)
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+Old.ID+"/20261128/"+Region+"/"+service+"/aws4_request, SignedHeaders=host, Signature=0")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return failed(err)
	}
	defer res.Body.Close()
	said, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return failed(err)
	}
	a := Answer{}
	if len(said) > 0 {
		a.Body = json.RawMessage(said)
	}
	if res.StatusCode != http.StatusOK {
		var refusal struct {
			Type    string `json:"__type"`
			Message string `json:"message"`
		}
		_ = json.Unmarshal(said, &refusal) // what is not JSON has no code, and is a failure all the same
		a.Status, a.Code, a.Message = res.StatusCode, refusal.Type, refusal.Message
		if a.Code == "" {
			a.Code = "InternalFailure"
		}
	}
	return a
}

// CallS3 makes a request to the S3 of a service that does not look at signatures, and returns the body of its answer 200.
func CallS3(t testing.TB, url, method, path string) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+Old.ID+"/20261128/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0")
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	body, err := io.ReadAll(io.LimitReader(a.Body, maxAnswer))
	if err != nil || a.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s, %v", method, path, a.Status, err)
	}
	return body
}
