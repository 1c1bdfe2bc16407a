package variables

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/secretref/secretref/logplugin/ociruntime/ask"
	"github.com/secretref/secretref/logplugin/references"
	"github.com/secretref/secretref/shared/secretref"
)

// filesVariable is the variable that names environment files, as the field of an ECS container definition does.
const filesVariable = "environmentFiles"

// maxFiles is how many environment files ECS takes for one container.
const maxFiles = 10

// fileSuffix is that of the name of every environment file, as ECS wants it.
const fileSuffix = ".env"

// parseFiles reads what the variable environmentFiles says: ARNs of S3 objects with commas between, or the list of a task definition.
func parseFiles(texts []string) (refs []secretref.Ref, err error) {
	for _, text := range texts {
		names, err := fileNames(text)
		if err != nil {
			return nil, fmt.Errorf("variable %s %w", filesVariable, err)
		}
		for _, name := range names {
			ref, err := references.Parse(name)
			if err != nil {
				return nil, fmt.Errorf("variable %s: %w", filesVariable, err)
			}
			if ref.Service != secretref.S3 {
				return nil, fmt.Errorf("variable %s names %s, and an environment file is an S3 object: arn:aws:s3:::BUCKET/KEY.env", filesVariable, ref)
			}
			if path.Ext(ref.String()) != fileSuffix {
				return nil, fmt.Errorf("variable %s names %s, and the name of an environment file ends in %s", filesVariable, ref, fileSuffix)
			}
			refs = append(refs, ref)
		}
	}
	if len(refs) > maxFiles {
		return nil, fmt.Errorf("variable %s names %d files, and a container has at most %d", filesVariable, len(refs), maxFiles)
	}
	return refs, nil
}

// fileNames does not quote the text in an error: it may be anything.
func fileNames(text string) (names []string, err error) {
	text = strings.TrimSpace(text)
	if !strings.HasPrefix(text, "[") && !strings.HasPrefix(text, "{") {
		for name := range strings.SplitSeq(text, ",") {
			names = append(names, strings.TrimSpace(name))
		}
		return names, nil
	}
	if strings.HasPrefix(text, "{") {
		text = "[" + text + "]"
	}
	var list []struct{ Value, Type string }
	if json.Unmarshal([]byte(text), &list) != nil {
		return nil, errors.New(`is not a list of the form [{"value":"arn:aws:s3:::BUCKET/KEY.env","type":"s3"}]`)
	}
	for _, f := range list {
		if f.Type != "s3" && f.Type != "" {
			return nil, errors.New("has a type other than s3, and ECS knows no other")
		}
		names = append(names, f.Value)
	}
	return names, nil
}

// parseFile reads the text of an environment file as the ECS agent does: NAME=VALUE in each line, where everything behind the first =
// is the value, quotes and blanks included; # begins a line of comment. A line without a name, a value or a = is left out.
func parseFile(text string) (variables []ask.Variable) {
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		name, value, ok := strings.Cut(line, "=")
		if !ok || name == "" || value == "" || strings.HasPrefix(line, "#") {
			continue
		}
		variables = append(variables, ask.Variable{Name: name, Value: value, File: true})
	}
	return variables
}
