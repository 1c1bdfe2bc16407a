package router

import (
	"errors"
	"fmt"
	"strings"
)

// Pair is a name and a value.
type Pair struct{ Name, Value string }

// Pairs reads NAME=VALUE,NAME=VALUE. A comma or a backslash in a value has a backslash in front of it.
func Pairs(text string) ([]Pair, error) {
	var pairs []Pair
	for _, field := range splitPairs(text) {
		name, value, ok := strings.Cut(field, "=")
		switch name = strings.TrimSpace(name); {
		case !ok && strings.TrimSpace(field) == "":
			return nil, errors.New("there is nothing between two commas; write NAME=VALUE,NAME=VALUE")
		case !ok:
			return nil, fmt.Errorf("%q has no value; write NAME=VALUE,NAME=VALUE, with \\, for a comma in a value", field)
		case name == "":
			return nil, fmt.Errorf("=%s has no name; write NAME=VALUE,NAME=VALUE", value)
		}
		for _, p := range pairs {
			if p.Name == name {
				return nil, fmt.Errorf("%s is given twice", name)
			}
		}
		pairs = append(pairs, Pair{name, strings.TrimSpace(value)})
	}
	return pairs, nil
}

// splitPairs splits text at the commas without a backslash, and takes the backslashes away.
func splitPairs(text string) []string {
	fields, field := []string{}, strings.Builder{}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text) && (text[i+1] == ',' || text[i+1] == '\\'):
			i++
			field.WriteByte(text[i])
		case c == ',':
			fields = append(fields, field.String())
			field.Reset()
		default:
			field.WriteByte(c)
		}
	}
	return append(fields, field.String())
}

// JoinPairs is the inverse of Pairs.
func JoinPairs(pairs []Pair) string {
	escape := strings.NewReplacer(`\`, `\\`, `,`, `\,`)
	var fields []string
	for _, p := range pairs {
		fields = append(fields, p.Name+"="+escape.Replace(p.Value))
	}
	return strings.Join(fields, ",")
}

// Pairs reads an option that holds pairs, or returns def when it is not given or not known.
func (v *Values) Pairs(name, def string) []Pair {
	pairs, err := Pairs(v.String(name, def))
	switch {
	case err == nil:
	case v.IsSecret(name):
		v.fail("log-opt %s: its secret's value is not NAME=VALUE,NAME=VALUE", name)
	default:
		v.fail("log-opt %s: %w", name, err)
	}
	return pairs
}
