package bounded

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"text/template"
)

// functions are those of Docker's templates, and in place of the built-in ones that make texts, the same with a bound.
// No function here makes a text that is longer than a small multiple of its arguments without a check of its own.
var functions = map[string]any{
	"json":     toJSON,
	"split":    split,
	"join":     join,
	"title":    strings.Title, //nolint:staticcheck // Docker's templates use it, and the same template gives the same tag
	"lower":    strings.ToLower,
	"upper":    strings.ToUpper,
	"pad":      pad,
	"truncate": truncate,

	"html":     template.HTMLEscaper,
	"js":       template.JSEscaper,
	"urlquery": template.URLQueryEscaper,
	"print":    fmt.Sprint,
	"println":  fmt.Sprintln,
	"printf":   printf,
}

func toJSON(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return strings.TrimSpace(b.String()), err
}

// split refuses to make a list of many texts that are empty or a byte long: they are larger than what they were.
func split(s, by string) ([]string, error) {
	if n := strings.Count(s, by) + 1; n > maxValue/headerBytes {
		return nil, errValue
	}
	return strings.Split(s, by), nil
}

func join(list []string, by string) (string, error) {
	if len(list)*len(by) > maxValue {
		return "", errValue
	}
	return strings.Join(list, by), nil
}

// pad puts blanks around a text that is not empty.
func pad(s string, before, after int) (string, error) {
	if s == "" {
		return s, nil
	}
	if before < 0 || after < 0 || before > MaxText || after > MaxText {
		return "", fmt.Errorf("a padding is not between 0 and %d", MaxText)
	}
	return strings.Repeat(" ", before) + s + strings.Repeat(" ", after), nil
}

func truncate(s string, n int) (string, error) {
	if n < 0 {
		return "", errors.New("a length is negative")
	}
	return s[:min(n, len(s))], nil
}

const numberBytes = 400 // of the longest number: 1e308, written out

// printf bounds what fmt will make of a format before it makes it.
func printf(format string, args ...any) (string, error) {
	var most size // the largest argument: an index may use it for every verb
	wide := false // an argument is too large for a width
	for _, arg := range args {
		v := reflect.ValueOf(arg)
		m := measure(v, maxValue)
		most.bytes, most.elements = max(most.bytes, m.bytes), max(most.elements, m.elements)
		wide = wide || v.CanInt() && (v.Int() > MaxText || v.Int() < -MaxText) || v.CanUint() && v.Uint() > MaxText
	}
	total := len(format)
	for rest := format; ; {
		_, verb, ok := strings.Cut(rest, "%")
		if !ok {
			break
		}
		width, n, stars := numbers(verb)
		if width > MaxText || stars > 0 && wide {
			return "", fmt.Errorf("a width or a precision is not between 0 and %d", MaxText)
		}
		total += (width+stars*MaxText+numberBytes)*most.elements + 6*most.bytes // a byte may become \u00ff
		if total > 4*maxValue {
			return "", errValue
		}
		rest = verb[n:]
	}
	return fmt.Sprintf(format, args...), nil
}

// numbers reads what stands between a % and its letter. It returns the sum of the numbers, the length up to and with the
// letter, and how many numbers come from arguments.
func numbers(verb string) (sum, n, stars int) {
	number := 0
	for i := range len(verb) {
		c := verb[i]
		switch {
		case c >= '0' && c <= '9':
			number = min(number*10+int(c-'0'), MaxText+1)
			continue
		case c == '*':
			stars++
		case !strings.ContainsRune("+-# .[]", rune(c)):
			return sum + number, i + 1, stars
		}
		sum += number
		number = 0
	}
	return sum + number, len(verb), stars
}
