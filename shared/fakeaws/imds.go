package fakeaws

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// InstanceID is the id of the instance whose metadata is served. It is also the session name of its role.
const InstanceID = "i-1234567890abcdef0"

// IMDS is how the metadata service behaves. The zero IMDS is an instance without role that demands IMDSv2.
type IMDS struct {
	Role     string        `json:"role,omitempty"` // ARN of the instance's role; "" = none, 404
	V1       bool          `json:"v1,omitempty"`   // answer without a token too; otherwise 401
	Lifetime time.Duration `json:"-"`              // of the role's credentials; 0 = 6 hours, negative = they have expired
	Code     string        `json:"-"`              // in the credentials document; "" = "Success"
	Disabled bool          `json:"-"`              // 403 to everything
	Hangs    bool          `json:"-"`              // nothing is answered
	// TokenHangs accepts the connection and never answers a PUT: how a hop limit that is too small looks from a container.
	TokenHangs bool `json:"-"`
	// HopLimit, from 1, is the real thing: IP_TTL of the packets that answer a PUT (IPv4 only); 0 = the system's default.
	HopLimit int `json:"-"`
}

// SetIMDS changes how the metadata service behaves, from the next request on.
func (s *Server) SetIMDS(m IMDS) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.metadata, s.instance = m, Credentials{}
}

// ServeIMDS serves the metadata service on one more listener, which may lie in another network namespace, until Close.
func (s *Server) ServeIMDS(l net.Listener) {
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed {
		_ = l.Close()
		return
	}
	s.imds = append(s.imds, serve(l, http.HandlerFunc(s.serveMetadata)))
}

const (
	tokenPath  = "/latest/api/token"
	tokenTTL   = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	tokenName  = "X-Aws-Ec2-Metadata-Token"
	rolePrefix = "meta-data/iam/security-credentials/"
)

func (s *Server) serveMetadata(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/_") {
		s.serveAdmin(w, r, true)
		return
	}
	call, f := s.record(Call{Service: "imds", Op: r.Method + " " + r.URL.Path})
	s.mu.Lock()
	m := s.metadata
	s.mu.Unlock()
	isPut := r.Method == http.MethodPut && r.URL.Path == tokenPath
	if m.Hangs || m.TokenHangs && isPut {
		f.Kind = Hang
	}
	if !f.wait(r) {
		panic(http.ErrAbortHandler)
	}
	if c, ok := r.Context().Value(connKey{}).(net.Conn); ok && m.HopLimit > 0 {
		ttl := -1 // back to the default
		if isPut {
			ttl = m.HopLimit
		}
		if err := setTTL(c, ttl); err != nil {
			http.Error(w, "set IP_TTL: "+err.Error(), http.StatusInternalServerError)
			return
		}
	}
	status, body := s.metadataAnswer(w, r, m, isPut)
	if e := f.apiError("imds", s.now()); e != nil {
		status = max(e.status, http.StatusBadRequest)
	}
	if status != http.StatusOK {
		s.finish(call, &apiError{code: strconv.Itoa(status)})
		body = "<html><body>" + strconv.Itoa(status) + " - " + http.StatusText(status) + "</body></html>"
	}
	f.send(w, answer{status: status, contentType: "text/plain", body: []byte(body)})
}

func setTTL(c net.Conn, ttl int) error {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return errors.New("the connection has no socket")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	var setErr error
	err = raw.Control(func(fd uintptr) { setErr = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, ttl) })
	return errors.Join(err, setErr)
}

func (s *Server) metadataAnswer(w http.ResponseWriter, r *http.Request, m IMDS, isPut bool) (int, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case m.Disabled, r.Header.Get("X-Forwarded-For") != "":
		return http.StatusForbidden, ""
	case isPut:
		_, _ = io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxBody))
		seconds, err := strconv.Atoi(r.Header.Get(tokenTTL))
		if err != nil || seconds < 1 || seconds > 21600 {
			return http.StatusBadRequest, ""
		}
		token := "AQAAA" + randomText(51)
		s.imdsTokens[token] = s.now().Add(time.Duration(seconds) * time.Second)
		w.Header().Set(tokenTTL, strconv.Itoa(seconds))
		return http.StatusOK, token
	case r.Method != http.MethodGet:
		return http.StatusMethodNotAllowed, ""
	}
	token := r.Header.Get(tokenName)
	if token == "" && !m.V1 || token != "" && !s.now().Before(s.imdsTokens[token]) {
		return http.StatusUnauthorized, ""
	}
	path, _ := strings.CutPrefix(r.URL.Path, "/latest/")
	switch path {
	case "meta-data/instance-id":
		return http.StatusOK, InstanceID
	case "meta-data/placement/region":
		return http.StatusOK, s.region
	case "meta-data/placement/availability-zone":
		return http.StatusOK, s.region + "a"
	case "dynamic/instance-identity/document":
		return http.StatusOK, string(mustJSON(map[string]any{"accountId": s.account, "region": s.region, "availabilityZone": s.region + "a",
			"instanceId": InstanceID, "instanceType": "t3.small", "architecture": "x86_64", "version": "2017-09-30"}))
	}
	return s.instanceRole(path, m)
}

func (s *Server) instanceRole(path string, m IMDS) (int, string) {
	user, ok := sessionARN(m.Role, InstanceID)
	if !ok {
		return http.StatusNotFound, ""
	}
	name := m.Role[strings.LastIndexByte(m.Role, '/')+1:]
	switch path {
	case rolePrefix, strings.TrimSuffix(rolePrefix, "/"):
		return http.StatusOK, name
	case rolePrefix + name:
		lifetime := m.Lifetime
		if lifetime == 0 {
			lifetime = 6 * time.Hour
		}
		// As on an instance, everybody gets the same credentials, until others come five minutes before they expire.
		if s.instance.Identity != user || s.instance.Expires.Sub(s.now()) < 5*time.Minute {
			s.instance = s.issue(user, lifetime)
		}
		c := s.instance
		return http.StatusOK, string(mustJSON(map[string]string{
			"Code": or(m.Code, "Success"), "Type": "AWS-HMAC", "LastUpdated": s.now().UTC().Format(time.RFC3339),
			"AccessKeyId": c.AccessKeyID, "SecretAccessKey": c.SecretAccessKey, "Token": c.SessionToken,
			"Expiration": c.Expires.Format(time.RFC3339),
		}))
	}
	return http.StatusNotFound, ""
}
