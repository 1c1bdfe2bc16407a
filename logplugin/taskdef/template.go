package taskdef

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// useDescribe is the way out where a template does not say a value.
const useDescribe = "import what `aws ecs describe-task-definition` prints, where all values are written out"

var errNotADocument = errors.New("the file is neither JSON nor YAML nor an ecs.config") // its cause may quote a value

// parse reads YAML. A tag such as !Ref, with which CloudFormation marks a function, becomes an object with one member, as in its JSON.
func parse(data []byte) (document any, err error) {
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		return nil, errNotADocument
	}
	functions(&root)
	if err := root.Decode(&document); err != nil {
		return nil, errNotADocument
	}
	return document, nil
}

// functions changes all that has a tag of its own below n, in the tree that was written: what an alias stands for is changed where it is.
func functions(n *yaml.Node) {
	for _, inner := range n.Content {
		functions(inner)
	}
	if n.Kind == yaml.AliasNode || !strings.HasPrefix(n.Tag, "!") || strings.HasPrefix(n.Tag, "!!") {
		return
	}
	inner := *n
	name := strings.TrimPrefix(n.Tag, "!")
	if name != "Ref" && name != "Condition" {
		name = "Fn::" + name
	}
	inner.Tag, inner.Anchor = "", ""
	*n = yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Anchor: n.Anchor, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Tag: "!!str", Value: name}, &inner}}
}

// isFunction reports whether a value is a function of CloudFormation.
func isFunction(v any) bool {
	object, _ := v.(map[string]any)
	for name := range object {
		return len(object) == 1 && (name == "Ref" || strings.HasPrefix(name, "Fn::"))
	}
	return false
}

// member returns the member of that name, which CloudFormation writes with a capital letter.
func member(object map[string]any, name string) any {
	if v, ok := object[name]; ok {
		return v
	}
	return object[strings.ToUpper(name[:1])+name[1:]]
}

// smallNames gives the elements of secretOptions the names of the API, where they have those of CloudFormation.
func smallNames(secrets any) (any, error) {
	list, ok := secrets.([]any)
	if !ok {
		return secrets, nil
	}
	var all []any
	for _, item := range list {
		entry, ok := item.(map[string]any)
		if !ok {
			return secrets, nil
		}
		small := map[string]any{}
		for key, value := range entry {
			if isFunction(value) {
				return nil, fmt.Errorf("secretOptions has a function of CloudFormation in %s; %s", key, useDescribe)
			}
			switch key {
			case "Name":
				key = "name"
			case "ValueFrom":
				key = "valueFrom"
			}
			small[key] = value
		}
		all = append(all, small)
	}
	return all, nil
}

// readTemplate reads all task definitions of a template of CloudFormation.
func readTemplate(top map[string]any) (Input, error) {
	in := Input{Kind: "task definition"}
	resources, _ := top["Resources"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(resources)) {
		resource, _ := resources[name].(map[string]any)
		properties, ok := resource["Properties"].(map[string]any)
		if !ok || resource["Type"] != "AWS::ECS::TaskDefinition" {
			continue
		}
		task, err := readTask(properties)
		if err != nil {
			return in, fmt.Errorf("resource %s: %w", name, err)
		}
		in.Containers = append(in.Containers, task.Containers...)
		in.Notes = append(in.Notes, task.Notes...)
	}
	if len(in.Containers)+len(in.Notes) == 0 {
		return in, errors.New("the template of CloudFormation has no AWS::ECS::TaskDefinition")
	}
	return in, nil
}

// interpolate does what compose does with $$, and notes where it would put the value of a variable.
func (c *Container) interpolate() {
	c.Variables = map[string]bool{}
	for name, value := range c.Options {
		parts := strings.Split(value, "$$")
		if slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(part, "$") }) {
			c.Variables[name] = true
			continue
		}
		c.Options[name] = strings.Join(parts, "$")
	}
}
