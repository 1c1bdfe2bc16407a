package fakeaws

import (
	"encoding/base64"
	"time"
)

// RegistryToken is what GetAuthorizationToken gives out.
type RegistryToken struct {
	Username      string        `json:"username,omitempty"`      // "" = "AWS"
	Password      string        `json:"password,omitempty"`      // "" = a random one at each call, as of the real service
	Lifetime      time.Duration `json:"-"`                       // 0 = 12 hours
	ProxyEndpoint string        `json:"proxyEndpoint,omitempty"` // "" = the registry's own; of ECR only
}

// SetECRToken sets what ECR gives out.
func (s *Server) SetECRToken(t RegistryToken) { s.setToken("ecr", t) }

// SetECRPublicToken sets what ECR Public gives out.
func (s *Server) SetECRPublicToken(t RegistryToken) { s.setToken("ecr-public", t) }

func (s *Server) setToken(service string, t RegistryToken) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[service] = t
}

func (s *Server) token(service string) map[string]any {
	t := s.tokens[service]
	if t.Lifetime == 0 {
		t.Lifetime = 12 * time.Hour
	}
	password := t.Password
	if password == "" {
		password = randomText(100)
	}
	return map[string]any{
		"authorizationToken": base64.StdEncoding.EncodeToString([]byte(or(t.Username, "AWS") + ":" + password)),
		"expiresAt":          epoch(s.now().Add(t.Lifetime)),
	}
}

func (s *Server) ecrToken(r *request, in struct {
	RegistryIDs []string `json:"registryIds"`
}) (any, error) {
	r.call.Resources = in.RegistryIDs
	if err := s.authorize(r, "ecr:GetAuthorizationToken", "*"); err != nil {
		return nil, err
	}
	if len(in.RegistryIDs) == 0 {
		in.RegistryIDs = []string{r.who.account}
	}
	domain := ".amazonaws.com"
	if partition(r.region) == "aws-cn" {
		domain += ".cn"
	}
	data := []map[string]any{}
	for _, id := range in.RegistryIDs {
		t := s.token("ecr")
		t["proxyEndpoint"] = or(s.tokens["ecr"].ProxyEndpoint, "https://"+id+".dkr.ecr."+r.region+domain)
		data = append(data, t)
	}
	return map[string]any{"authorizationData": data}, nil
}

// ecrPublicToken answers in us-east-1 only, the one region that gives tokens out.
func (s *Server) ecrPublicToken(r *request, _ struct{}) (any, error) {
	if r.region != "us-east-1" {
		return nil, &apiError{code: "UnsupportedCommandException", message: "This command is not supported in region " + r.region + "."}
	}
	for _, action := range []string{"ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken"} {
		if err := s.authorize(r, action, "*"); err != nil {
			return nil, err
		}
	}
	return map[string]any{"authorizationData": s.token("ecr-public")}, nil
}
