package fakeaws

import (
	"cmp"
	"crypto/sha512"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Parameter is a parameter to put. Putting it again adds a version.
type Parameter struct {
	Name    string   `json:"name"`
	Region  string   `json:"region,omitempty"`  // "" = the server's
	Account string   `json:"account,omitempty"` // "" = the server's
	Type    string   `json:"type,omitempty"`    // "String", "StringList"; "" = "SecureString"
	Value   string   `json:"value"`
	Labels  []string `json:"labels,omitempty"` // of this version; taken from the older ones
	KMS     KMS      `json:"kms,omitempty"`
	Shared  bool     `json:"shared,omitempty"` // with other accounts, which then must name it by ARN
}

// storedParameter is all versions of one parameter.
type storedParameter struct {
	Parameter
	arn      string
	versions []parameterVersion // version n at n-1
	labels   map[string]int     // to the version
}

type parameterVersion struct {
	kind, value string
	modified    time.Time
}

// PutParameter adds a version of a parameter and returns the ARN.
func (s *Server) PutParameter(in Parameter) (arn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in.Region, in.Account, in.Type = or(in.Region, s.region), or(in.Account, s.account), or(in.Type, "SecureString")
	p := s.parameterNamed(in.Region, in.Account, in.Name)
	if p == nil {
		p = s.addParameter(in)
	}
	p.Parameter = in
	p.versions = append(p.versions, parameterVersion{in.Type, in.Value, s.now()})
	for _, label := range in.Labels {
		p.labels[label] = len(p.versions)
	}
	return p.arn
}

func (s *Server) addParameter(in Parameter) *storedParameter {
	p := &storedParameter{Parameter: in, labels: map[string]int{}, arn: parameterARN(in.Region, in.Account, in.Name)}
	s.parameters = append(s.parameters, p)
	return p
}

func parameterARN(region, account, name string) string {
	return "arn:" + partition(region) + ":ssm:" + region + ":" + account + ":parameter/" + strings.TrimPrefix(name, "/")
}

func (s *Server) parameterNamed(region, account, name string) *storedParameter {
	return s.parameterWhere(func(p *storedParameter) bool {
		return p.Region == region && p.Account == account && p.Name == name
	})
}

func (s *Server) parameterWhere(is func(*storedParameter) bool) *storedParameter {
	if i := slices.IndexFunc(s.parameters, is); i >= 0 {
		return s.parameters[i]
	}
	return nil
}

// splitSelector takes ":3" or ":label" off a name or an ARN.
func splitSelector(asked string) (name, selector string) {
	head := ""
	if strings.HasPrefix(asked, "arn:") {
		part := strings.SplitN(asked, ":", 6)
		if len(part) == 6 {
			head = strings.Join(part[:5], ":") + ":"
			asked = part[5]
		}
	}
	if i := strings.LastIndexByte(asked, ':'); i > 0 {
		return head + asked[:i], asked[i:]
	}
	return head + asked, ""
}

// version returns the number that a selector chooses; 0 = none.
func (p *storedParameter) version(selector string) int {
	if selector == "" {
		return len(p.versions)
	}
	n, err := strconv.Atoi(selector[1:])
	if err != nil {
		return p.labels[selector[1:]]
	}
	if n < 1 || n > len(p.versions) {
		return 0
	}
	return n
}

// secretReference is the part of a name under which Parameter Store passes secrets of Secrets Manager through.
const secretReference = "/aws/reference/secretsmanager/"

// read returns one parameter as the API shows it. A parameter that is not there is a ParameterNotFound.
func (s *Server) read(r *request, asked string, decrypt bool) (map[string]any, error) {
	if id, ok := strings.CutPrefix(asked, secretReference); ok {
		return s.readReference(r, asked, id, decrypt)
	}
	name, selector := splitSelector(asked)
	isARN := strings.HasPrefix(name, "arn:")
	arn := name
	if !isARN {
		arn = parameterARN(r.region, r.who.account, name)
	}
	action := "ssm:" + r.op
	if err := s.authorize(r, action, arn, name); err != nil {
		return nil, err
	}
	p := s.parameterWhere(func(p *storedParameter) bool {
		return p.Region == r.region && p.arn == arn && (isARN || p.Name == name)
	})
	if p == nil {
		return nil, &apiError{code: "ParameterNotFound"}
	}
	if r.fromOutside(p.Account, p.Shared) {
		return nil, otherAccount(r, action, arn)
	}
	n := p.version(selector)
	if n == 0 {
		return nil, &apiError{code: "ParameterVersionNotFound",
			message: "Systems Manager could not find version " + selector[1:] + " of " + p.Name + ". Verify the version and try again."}
	}
	v := p.versions[n-1]
	value := v.value
	if v.kind == "SecureString" {
		if decrypt {
			switch p.KMS {
			case KMSBroken:
				return nil, &apiError{code: "InvalidKeyId", message: "The key of parameter " + p.Name + " is disabled or pending deletion."}
			case KMSDenied:
				return nil, &apiError{code: "AccessDeniedException", message: "The ciphertext refers to a customer master key that does " +
					"not exist, does not exist in this region, or you are not allowed to access."}
			}
		} else {
			value = ciphertext(p.arn, n)
		}
	}
	out := map[string]any{"Name": p.Name, "ARN": p.arn, "Version": n, "Type": v.kind, "Value": value,
		"DataType": "text", "LastModifiedDate": epoch(v.modified)}
	if selector != "" {
		out["Selector"] = selector
	}
	return out, nil
}

// ciphertext looks like what KMS makes, and says nothing about the value.
func ciphertext(arn string, version int) string {
	sum := sha512.Sum512([]byte(arn + strconv.Itoa(version)))
	return "AQICAH" + base64.StdEncoding.EncodeToString(append(sum[:], sum[:]...))
}

func (s *Server) readReference(r *request, asked, id string, decrypt bool) (map[string]any, error) {
	arn := parameterARN(r.region, r.who.account, asked)
	if err := s.authorize(r, "ssm:"+r.op, arn, asked); err != nil {
		return nil, err
	}
	if !decrypt {
		return nil, &apiError{code: "ValidationException",
			message: "WithDecryption flag must be True for retrieving a Secret Manager secret."}
	}
	names := r.call.Resources // lookup would put its own in place
	through := *r
	through.op = "GetSecretValue"
	v, err := s.getSecretValue(&through, getSecretValueInput{SecretId: id})
	r.call.Resources = names
	if err != nil {
		if e := err.(*apiError); e.code == "ResourceNotFoundException" {
			return nil, &apiError{code: "ParameterNotFound",
				message: "An error occurred (ParameterNotFound) when referencing Secrets Manager: Secret " + asked + " not found."}
		}
		return nil, err
	}
	return map[string]any{"Name": asked, "ARN": arn, "Version": 0, "Type": "SecureString",
		"Value": v.(map[string]any)["SecretString"], "DataType": "text"}, nil
}

func (s *Server) getParameter(r *request, in struct {
	Name           string
	WithDecryption bool
}) (any, error) {
	r.call.Resources = []string{in.Name}
	p, err := s.read(r, in.Name, in.WithDecryption)
	if err != nil {
		return nil, err
	}
	return map[string]any{"Parameter": p}, nil
}

func (s *Server) getParameters(r *request, in struct {
	Names          []string
	WithDecryption bool
}) (any, error) {
	r.call.Resources = in.Names
	if len(in.Names) == 0 || len(in.Names) > 10 {
		return nil, &apiError{code: "ValidationException", message: "1 validation error detected: Value '[" + strings.Join(in.Names, ", ") +
			"]' at 'names' failed to satisfy constraint: Member must have length between 1 and 10"}
	}
	sorted := slices.Sorted(slices.Values(in.Names))
	if len(slices.Compact(sorted)) != len(in.Names) {
		return nil, &apiError{code: "ValidationException", message: "The request contains duplicate parameter names."}
	}
	found, invalid := []map[string]any{}, []string{}
	for _, name := range in.Names {
		p, err := s.read(r, name, in.WithDecryption)
		if err == nil {
			found = append(found, p)
			continue
		}
		switch err.(*apiError).code {
		case "ParameterNotFound", "ParameterVersionNotFound":
			invalid = append(invalid, name)
		default:
			return nil, err // one parameter that may not be read fails the whole call
		}
	}
	// The real service promises no order. Here it is never that of the request, unless that is the order of the names.
	slices.SortFunc(found, func(a, b map[string]any) int {
		return cmp.Or(strings.Compare(a["Name"].(string), b["Name"].(string)), cmp.Compare(a["Version"].(int), b["Version"].(int)))
	})
	return map[string]any{"Parameters": found, "InvalidParameters": invalid}, nil
}

func (s *Server) putParameter(r *request, in struct {
	Name, Value, Type string
	Overwrite         bool
}) (any, error) {
	r.call.Resources = []string{in.Name}
	if err := s.authorize(r, "ssm:PutParameter", parameterARN(r.region, r.who.account, in.Name), in.Name); err != nil {
		return nil, err
	}
	if strings.Contains(strings.TrimPrefix(in.Name, "/"), "/") && !strings.HasPrefix(in.Name, "/") {
		return nil, &apiError{code: "ValidationException", message: "Parameter name must be a fully qualified name."}
	}
	if in.Value == "" {
		return nil, &apiError{code: "ValidationException", message: "1 validation error detected: Value '' at 'value' failed to " +
			"satisfy constraint: Member must have length greater than or equal to 1"}
	}
	p := s.parameterNamed(r.region, r.who.account, in.Name)
	if p != nil && !in.Overwrite {
		return nil, &apiError{code: "ParameterAlreadyExists",
			message: "The parameter already exists. To overwrite this value, set the overwrite option in the request to true."}
	}
	if p == nil {
		if in.Type == "" {
			return nil, &apiError{code: "ValidationException", message: "A parameter type is required when you create a parameter."}
		}
		p = s.addParameter(Parameter{Name: in.Name, Region: r.region, Account: r.who.account})
	}
	p.Type = or(in.Type, p.Type)
	p.versions = append(p.versions, parameterVersion{p.Type, in.Value, s.now()})
	return map[string]any{"Version": len(p.versions), "Tier": "Standard"}, nil
}

func (s *Server) labelParameterVersion(r *request, in struct {
	Name             string
	ParameterVersion int
	Labels           []string
}) (any, error) {
	r.call.Resources = []string{in.Name}
	if err := s.authorize(r, "ssm:LabelParameterVersion", parameterARN(r.region, r.who.account, in.Name), in.Name); err != nil {
		return nil, err
	}
	p := s.parameterNamed(r.region, r.who.account, in.Name)
	if p == nil {
		return nil, &apiError{code: "ParameterNotFound"}
	}
	n := in.ParameterVersion
	if n == 0 {
		n = len(p.versions)
	}
	if n < 1 || n > len(p.versions) {
		return nil, &apiError{code: "ParameterVersionNotFound",
			message: "Systems Manager could not find version " + strconv.Itoa(n) + " of " + p.Name + ". Verify the version and try again."}
	}
	invalid := []string{}
	for _, label := range in.Labels {
		if _, err := strconv.Atoi(label[:min(1, len(label))]); err == nil || strings.HasPrefix(label, "aws") || strings.HasPrefix(label, "ssm") {
			invalid = append(invalid, label)
			continue
		}
		p.labels[label] = n
	}
	return map[string]any{"InvalidLabels": invalid, "ParameterVersion": n}, nil
}
