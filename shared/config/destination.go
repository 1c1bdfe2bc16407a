package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// The largest value of an option in bytes: a PEM file may be written out.
const maxOption = 64 << 10

const secretOptions = "secretOptions"

// isSecretOptions reports whether path is the only list of tables that the configuration has:
// [[logs.destinations.NAME.secretOptions]], as in an ECS task definition.
func isSecretOptions(path []string) bool {
	return len(path) == 4 && path[0] == "logs" && path[1] == "destinations" && path[3] == secretOptions
}

// listElement is the name of element i of a list of tables in an item's path. No key of a table is called so.
func listElement(i int) string { return "[" + strconv.Itoa(i) + "]" }

// destination is one [logs.destinations.NAME] of one file.
type destination struct {
	name    string
	line    int
	options map[string]string
	secrets []*secretOption // elements of the list form of secretOptions
}

// secretOption is one element of the list form of secretOptions.
type secretOption struct {
	path string // of its table in the file
	line int
	keys map[string]string
}

type destinations struct {
	list   []*destination
	byName map[string]*destination
}

// destination applies an item below logs.destinations. What the options mean is for the log driver to check: they are
// kept as a container's log options arrive there.
func (ds *destinations) add(s source, it item) *Error {
	at := Origin{s.path, it.line}
	if len(it.path) <= 3 && !it.value.isTable() {
		return fail(at, "write [logs.destinations.NAME] and its options below it", "%s is %s, not a table", join(it.path), it.value.typeName())
	}
	if len(it.path) == 2 {
		return nil
	}
	name := it.path[2]
	if !isDestinationName(name) {
		return fail(at, "write a letter or digit, then letters, digits and ._- (63 at most)", "%s: %q is not a valid name of a destination", join(it.path[:3]), name)
	}
	d := ds.byName[name]
	if d == nil {
		d = &destination{name: name, line: it.line, options: map[string]string{}}
		ds.byName[name] = d
		ds.list = append(ds.list, d)
	}
	rest := it.path[3:]
	switch {
	case len(rest) == 0:
		return nil
	case len(rest) >= 2 && rest[0] == secretOptions && strings.HasPrefix(rest[1], "["):
		return d.element(at, it)
	case it.value.isTable():
		if len(rest) == 1 && rest[0] == secretOptions {
			return nil
		}
		return fail(at, "write the option as "+quoteKey(rest[0])+` = "VALUE"`, "%s is a table, not a value", join(it.path))
	case len(rest) == 1 && rest[0] == secretOptions && it.value.kind == unstable.Array:
		return d.array(at, it)
	case len(rest) > 1 && (len(rest) > 2 || rest[0] != secretOptions):
		return fail(at, "write the option as "+quoteKey(strings.Join(rest, "-"))+` = "VALUE"`, "%s: only secretOptions has keys below it", join(it.path))
	}
	text, err := it.value.option()
	if err != nil {
		return fail(at, "write the option's value as a string, a number or a boolean", "%s %v", join(it.path), err)
	}
	return d.set(at, join(it.path), strings.Join(rest, "."), text)
}

// set gives one option its value.
func (d *destination) set(at Origin, path, option, text string) *Error {
	if !isOptionName(option) {
		return fail(at, "write the name of a log option", "%s is not a valid name of an option", path)
	}
	if _, ok := d.options[option]; ok {
		return fail(at, "keep one", "%s gives %s, which is already given", path, option)
	}
	d.options[option] = text
	return nil
}

// isOptionName reports whether s can be the name of a log option. One of FireLens may be "Header NAME", in any case.
func isOptionName(s string) bool {
	const header = "header "
	if rest := strings.TrimPrefix(s, secretOptions+"."); len(rest) > len(header) && strings.EqualFold(rest[:len(header)], header) {
		s = rest[len(header):]
	}
	return s != "" && strings.IndexFunc(s, notIn("._-")) < 0
}

// array reads secretOptions = [{name = "…", valueFrom = "…"}].
func (d *destination) array(at Origin, it item) *Error {
	for i, v := range it.value.items {
		if v.kind != unstable.InlineTable {
			return fail(at, secretOptionForm, "%s has element %d, which is %s, not a table", join(it.path), i+1, v.typeName())
		}
		o := &secretOption{path: join(it.path), line: at.Line, keys: map[string]string{}}
		for _, key := range v.keys {
			if err := o.set(at, key.path, key.value); err != nil {
				return err
			}
		}
		d.secrets = append(d.secrets, o)
	}
	return nil
}

const secretOptionForm = `write {name = "splunk-token", valueFrom = "arn:…"}`

// element reads an item of [[logs.destinations.NAME.secretOptions]]; the header begins a new one.
func (d *destination) element(at Origin, it item) *Error {
	if len(it.path) == 5 {
		d.secrets = append(d.secrets, &secretOption{path: join(it.path[:4]), line: it.line, keys: map[string]string{}})
		return nil
	}
	return d.secrets[len(d.secrets)-1].set(at, it.path[5:], it.value)
}

func (o *secretOption) set(at Origin, key []string, v value) *Error {
	name := strings.Join(key, ".")
	if name != "name" && name != "valueFrom" {
		return fail(at, "known are name, valueFrom", "unknown key %s in %s", quoteKey(name), o.path)
	}
	text, err := v.str()
	if err != nil {
		return fail(at, secretOptionForm, "%s of %s %v", name, o.path, err)
	}
	o.keys[name] = text
	return nil
}

// destination takes over what one file says of a destination.
func (l *loader) destination(s source, d *destination) *Error {
	at := Origin{s.path, d.line}
	path := []string{"logs", "destinations", d.name}
	for _, o := range d.secrets {
		place := Origin{s.path, o.line}
		for _, key := range []string{"name", "valueFrom"} {
			if o.keys[key] == "" {
				return fail(place, secretOptionForm, "%s has an element without %s", o.path, key)
			}
		}
		if err := d.set(place, o.path, secretOptions+"."+o.keys["name"], o.keys["valueFrom"]); err != nil {
			return err
		}
	}
	if len(d.options) == 0 {
		return fail(at, `add logDriver = "splunk" and the options of that router`, "%s has no options", join(path))
	}
	if err := l.claim(at, s, id(path), path); err != nil {
		return err
	}
	if l.cfg.Logs.Destinations == nil {
		l.cfg.Logs.Destinations = map[string]map[string]string{}
	}
	l.cfg.Logs.Destinations[d.name] = d.options
	return nil
}

// option returns the text of a value as a container would write it in a log option.
func (v value) option() (string, error) {
	switch v.kind {
	case unstable.String:
		switch {
		case len(v.text) > maxOption:
			return "", fmt.Errorf("is longer than %d bytes", maxOption)
		case strings.ContainsRune(v.text, 0):
			return "", errors.New("has a NUL character in it")
		}
		return v.text, nil
	case unstable.Bool:
		return v.text, nil
	case unstable.Integer:
		n, err := strconv.ParseInt(strings.ReplaceAll(v.text, "_", ""), 0, 64)
		if err != nil {
			return "", errors.New("is not a number of 64 bits")
		}
		return strconv.FormatInt(n, 10), nil
	case unstable.Float:
		return strings.ReplaceAll(v.text, "_", ""), nil
	}
	return "", fmt.Errorf("is %s, not a string, number or boolean", v.typeName())
}

func isDestinationName(s string) bool {
	return s != "" && len(s) <= 63 && strings.IndexFunc(s, notIn("._-")) < 0 && !strings.ContainsAny(s[:1], "._-")
}
