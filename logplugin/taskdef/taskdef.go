// Package taskdef reads where containers' logs go and with which credentials images are pulled, out of what people have for another
// system: an ECS task definition, also one in a template of CloudFormation, a compose file, the configuration of the Docker daemon, or
// that of the ECS agent.
//
// Use it to move such a configuration here. It promises that what it does not understand is an error or a note, and that no value
// goes into an error. It asks AWS nothing.
package taskdef

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/secretref/secretref/logplugin/references"
)

// Max is how long an input may be, in bytes.
const Max = 1 << 20

// Container is what is said of one container.
type Container struct {
	Name        string
	Image       string
	LogDriver   string            // "" = nothing is said
	Options     map[string]string // of the log driver
	Variables   map[string]bool   // the options in whose values compose replaces variables
	Secrets     map[string]string // option to valueFrom
	Credentials string            // credentialsParameter of the image's registry; "" = none
}

// Input is what was read.
type Input struct {
	Kind       string // "task definition", "compose file", "daemon.json" or "ecs.config"
	Containers []Container
	Registries []Registry // with a password in clear
	Notes      []string   // what has no place here
}

// Registry is a registry of an ecs.config, whose password stands in it.
type Registry struct{ Host, Username string }

// Read reads any of the forms. YAML is read too, of which JSON is a part.
func Read(data []byte) (Input, error) {
	if len(data) > Max {
		return Input{}, fmt.Errorf("the file has more than %d bytes", Max)
	}
	if isAgentConfig(data) {
		return readAgentConfig(data)
	}
	document, err := parse(data)
	if err != nil {
		return Input{}, err
	}
	if list, ok := document.([]any); ok { // containerDefinitions alone
		document = map[string]any{"containerDefinitions": list}
	}
	top, ok := document.(map[string]any)
	if !ok {
		return Input{}, errUnknown
	}
	if inner, ok := member(top, "taskDefinition").(map[string]any); ok { // of describe-task-definition
		top = inner
	}
	switch {
	case top["Resources"] != nil:
		return readTemplate(top)
	case member(top, "containerDefinitions") != nil:
		return readTask(top)
	case top["services"] != nil:
		return readCompose(top)
	case top["log-driver"] != nil || top["log-opts"] != nil:
		return readDaemon(top)
	case member(top, "logConfiguration") != nil:
		return readTask(map[string]any{"containerDefinitions": []any{top}})
	case member(top, "logDriver") != nil:
		return readTask(map[string]any{"containerDefinitions": []any{map[string]any{"name": "app", "logConfiguration": top}}})
	case top["logging"] != nil:
		return readCompose(map[string]any{"services": map[string]any{"app": top}})
	}
	return Input{}, errUnknown
}

var errUnknown = errors.New("the file is none of these: an ECS task definition (containerDefinitions), a template of CloudFormation with one, a logConfiguration, a compose file or a logging block of one, a daemon.json with log-driver, or an ecs.config")

func readTask(top map[string]any) (Input, error) {
	in := Input{Kind: "task definition"}
	list, ok := member(top, "containerDefinitions").([]any)
	if !ok || len(list) == 0 {
		return in, errors.New("containerDefinitions is not a list of containers")
	}
	for i, item := range list {
		definition, ok := item.(map[string]any)
		if !ok {
			return in, fmt.Errorf("containerDefinitions: element %d is not an object", i+1)
		}
		c := Container{Name: text(member(definition, "name")), Image: text(member(definition, "image"))}
		if c.Name == "" {
			c.Name = fmt.Sprintf("container-%d", i+1)
		}
		if r, ok := member(definition, "repositoryCredentials").(map[string]any); ok {
			c.Credentials = text(member(r, "credentialsParameter"))
			if c.Credentials == "" || c.Image == "" {
				return in, fmt.Errorf("container %s: the image and its credentialsParameter are not both written out; %s", c.Name, useDescribe)
			}
		}
		if member(definition, "firelensConfiguration") != nil {
			in.Notes = append(in.Notes, c.Name+" is the log router of the task: it is not needed, and is left out")
			continue
		}
		if secrets, ok := member(definition, "secrets").([]any); ok && len(secrets) > 0 {
			in.Notes = append(in.Notes, fmt.Sprintf("%s has %d secrets for the container itself: use the volume driver secretref-files for them", c.Name, len(secrets)))
		}
		if configuration := member(definition, "logConfiguration"); configuration != nil {
			logs, ok := configuration.(map[string]any)
			if !ok || isFunction(configuration) {
				return in, fmt.Errorf("container %s: logConfiguration is not an object", c.Name)
			}
			if err := c.readLogs(text(member(logs, "logDriver")), member(logs, "options"), member(logs, "secretOptions")); err != nil {
				return in, fmt.Errorf("container %s: %w", c.Name, err)
			}
		}
		in.Containers = append(in.Containers, c)
	}
	return in, nil
}

func readCompose(top map[string]any) (Input, error) {
	in := Input{Kind: "compose file"}
	services, ok := top["services"].(map[string]any)
	if !ok {
		return in, errors.New("services is not an object of services")
	}
	for _, name := range slices.Sorted(maps.Keys(services)) {
		service, _ := services[name].(map[string]any)
		logging, ok := service["logging"].(map[string]any)
		if !ok {
			continue
		}
		c := Container{Name: name, Image: text(service["image"])}
		if err := c.readLogs(text(logging["driver"]), logging["options"], nil); err != nil {
			return in, fmt.Errorf("service %s: %w", name, err)
		}
		c.interpolate()
		in.Containers = append(in.Containers, c)
	}
	if len(in.Containers) == 0 {
		return in, errors.New("no service has a block logging")
	}
	return in, nil
}

func readDaemon(top map[string]any) (Input, error) {
	c := Container{Name: "default"}
	if err := c.readLogs(text(top["log-driver"]), top["log-opts"], nil); err != nil {
		return Input{}, err
	}
	return Input{Kind: "daemon.json", Containers: []Container{c}}, nil
}

// readLogs reads a log driver and its options. secretOptions may be a list, an object of names and references, or nothing.
func (c *Container) readLogs(driver string, options, secrets any) error {
	c.LogDriver, c.Options, c.Secrets = driver, map[string]string{}, map[string]string{}
	given, ok := options.(map[string]any)
	if !ok && options != nil || isFunction(options) {
		return errors.New("the options of the log driver are not an object")
	}
	for name, value := range given {
		switch value.(type) {
		case string, bool, int, int64, uint64, float64, nil:
			c.Options[name] = text(value)
		default:
			if isFunction(value) {
				return fmt.Errorf("the option %s is a function of CloudFormation; %s", name, useDescribe)
			}
			return fmt.Errorf("the option %s is not a text, a number or a boolean", name)
		}
	}
	entries, err := secretsOf(secrets)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, twice := c.Secrets[e.Name]; twice {
			return fmt.Errorf("secretOptions names %q twice", e.Name)
		}
		c.Secrets[e.Name] = e.ValueFrom
	}
	if driver == "secretref" { // of this driver already
		c.LogDriver = c.Options["logDriver"]
		delete(c.Options, "logDriver")
	}
	return nil
}

func secretsOf(secrets any) (entries []references.Entry, err error) {
	switch list := secrets.(type) {
	case nil:
		return nil, nil
	case []any:
		if len(list) == 0 {
			return nil, nil
		}
	}
	if secrets, err = smallNames(secrets); err != nil {
		return nil, err
	}
	data, err := json.Marshal(secrets)
	if err != nil {
		return nil, errors.New("secretOptions is not a list")
	}
	entries, err = references.ParseList(string(data))
	if err != nil {
		var isMap bool
		if entries, isMap = references.ParseMap(string(data)); isMap {
			return entries, nil
		}
		return nil, fmt.Errorf("secretOptions %w", err)
	}
	return entries, nil
}

// text is what a value says; "" for nothing, and for an object, which a function of CloudFormation is.
func text(v any) string {
	if _, isObject := v.(map[string]any); v == nil || isObject {
		return ""
	}
	return fmt.Sprint(v)
}

// isAgentConfig reports whether data is lines of NAME=VALUE with names of the ECS agent.
func isAgentConfig(data []byte) bool {
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(strings.TrimSpace(line), "ECS_") {
			return true
		}
	}
	return false
}

// readAgentConfig reads the registries of an ecs.config. Their passwords are not kept.
func readAgentConfig(data []byte) (Input, error) {
	in := Input{Kind: "ecs.config"}
	values := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
			values[name] = value
		}
	}
	auth := values["ECS_ENGINE_AUTH_DATA"]
	if auth == "" {
		return in, errors.New("the ecs.config has no ECS_ENGINE_AUTH_DATA; nothing else of it has a place here")
	}
	if kind := values["ECS_ENGINE_AUTH_TYPE"]; kind != "dockercfg" && kind != "docker" {
		return in, errors.New("ECS_ENGINE_AUTH_TYPE is neither dockercfg nor docker")
	}
	var registries map[string]struct {
		Username string `json:"username"`
	}
	if json.Unmarshal([]byte(auth), &registries) != nil {
		return in, errors.New("ECS_ENGINE_AUTH_DATA is not a JSON object of registries")
	}
	for _, address := range slices.Sorted(maps.Keys(registries)) {
		host, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(address, "https://"), "http://"), "/")
		if host == "index.docker.io" {
			host = "docker.io"
		}
		in.Registries = append(in.Registries, Registry{host, registries[address].Username})
	}
	return in, nil
}
