package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

const variablePrefix = "SECRETREF_"

// variableTables are the tables whose keys have a variable. The others are collections, or not for the log driver.
func variableTables() []string { return []string{"aws", "cache", "logs", "secrets"} }

// textVariable holds the text of a whole configuration file, in place of the files: a managed plugin has no files.
const textVariable = variablePrefix + "CONFIG_TOML"

// Variables returns the names that Options.Environ may give: SECRETREF_AWS_REGION and so on.
func Variables() []string {
	list := []string{textVariable}
	for _, table := range variableTables() {
		list = append(list, variablesOf(table)...)
	}
	return list
}

func variablesOf(table string) []string {
	list := names(tableKeys(defaults(), table))
	for i, name := range list {
		list[i] = variable(table, name)
	}
	return list
}

func variable(table, key string) string { return variablePrefix + strings.ToUpper(table+"_"+key) }

// environ applies the variables of the tables. An empty one is not given: a managed plugin has all of them, and those
// that are not set are empty.
func (l *loader) environ(environ []string) *Error {
	for _, pair := range environ {
		name, text, _ := strings.Cut(pair, "=")
		for _, table := range variableTables() {
			if text != "" && strings.HasPrefix(name, variable(table, "")) {
				if err := l.variable(table, name, text); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// variable applies one variable of table.
func (l *loader) variable(table, name, text string) *Error {
	at := Origin{File: name}
	for _, k := range tableKeys(l.cfg, table) {
		if variable(table, k.name) != name {
			continue
		}
		v, err := k.parse(text)
		if err == nil {
			err = k.set(v)
		}
		if err != nil {
			return fail(at, "write "+name+"="+strings.NewReplacer(`"`, "", "[", "", "]", "").Replace(k.example), "the value %v", err)
		}
		s := source{path: name, layer: environLayer}
		if k.name == "role_arn" {
			l.dropExternalID(s, table)
		}
		path := []string{table, k.name}
		return l.claim(at, s, id(path), path)
	}
	known := variablesOf(table)
	fix := "known are " + strings.Join(known, ", ")
	if near := Nearest(name[len(variable(table, "")):], names(tableKeys(l.cfg, table))); near != "" {
		fix = "did you mean " + variable(table, near) + "?"
	}
	return fail(at, fix, "unknown variable")
}

// parse reads the text of a variable as the type that k takes, which its example shows.
func (k key) parse(text string) (value, error) {
	switch k.example[0] {
	case '"':
		return value{kind: unstable.String, text: text}, nil
	case '[':
		return list(text)
	}
	if text != "true" && text != "false" {
		return value{}, fmt.Errorf("is %q, neither true nor false", text)
	}
	return value{kind: unstable.Bool, text: text}, nil
}

// list reads strings with commas between them; [] is the list of none, which an empty text cannot be.
func list(text string) (value, error) {
	v := value{kind: unstable.Array}
	if text == "[]" {
		return v, nil
	}
	if strings.HasPrefix(text, "[") {
		return v, errors.New("is a list in brackets, and wants commas alone, or [] for none")
	}
	for part := range strings.SplitSeq(text, ",") {
		v.items = append(v.items, value{kind: unstable.String, text: strings.TrimSpace(part)})
	}
	return v, nil
}
