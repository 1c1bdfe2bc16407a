package jsontext

import (
	"bytes"
	"iter"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Object walks over the members of a line that is a JSON object. Its memory is used again for the next line.
type Object struct {
	text []byte // compact: valid, and without white space between its parts
	at   int
}

// Open reports whether line is one JSON object, and goes before its first member.
func (o *Object) Open(line []byte) bool {
	o.at = 0
	if rest := bytes.TrimLeft(line, " \t\r\n"); len(rest) == 0 || rest[0] != '{' {
		return false
	}
	var ok bool
	o.text, ok = AppendCompact(o.text[:0], line)
	return ok
}

// Next returns the next member: its name, between quotes and with escapes, and the text of its value. They are valid until
// the next Open.
func (o *Object) Next() (name, value []byte, ok bool) {
	if o.at++; o.at >= len(o.text) || o.text[o.at] != '"' {
		return nil, nil, false
	}
	end := skip(o.text, o.at)
	name = o.text[o.at:end]
	o.at = end + 1
	end = skip(o.text, o.at)
	value = o.text[o.at:end]
	o.at = end
	return name, value, true
}

// Elements returns the elements of an array that is compact, as the value of a member is.
func Elements(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := 1; i < len(array)-1; i++ {
			end := skip(array, i)
			if !yield(array[i:end]) {
				return
			}
			i = end
		}
	}
}

// skip returns the end of the value that begins at i in compact text.
func skip(text []byte, i int) int {
	for depth := 0; i < len(text); {
		switch text[i] {
		case '"':
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
			i++
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		case ',', ':':
			i++
		default:
			for i < len(text) && text[i] != ',' && text[i] != ']' && text[i] != '}' {
				i++
			}
		}
		if depth == 0 {
			return i
		}
	}
	return i
}

// AppendUnquoted appends the text that a JSON string, between quotes and valid, stands for. Half of a surrogate pair becomes U+FFFD.
func AppendUnquoted(dst, quoted []byte) []byte {
	s := quoted[1 : len(quoted)-1]
	for {
		i := bytes.IndexByte(s, '\\')
		if i < 0 {
			return append(dst, s...)
		}
		dst = append(dst, s[:i]...)
		c := s[i+1]
		s = s[i+2:]
		switch c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			var r rune
			r, s = hexRune(s)
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, c)
		}
	}
}

// hexRune reads four digits, and those of a second half of a pair behind them.
func hexRune(s []byte) (r rune, rest []byte) {
	r, s = hex(s), s[4:]
	if !utf16.IsSurrogate(r) {
		return r, s
	}
	if len(s) >= 6 && s[0] == '\\' && s[1] == 'u' {
		if both := utf16.DecodeRune(r, hex(s[2:])); both != utf8.RuneError {
			return both, s[6:]
		}
	}
	return utf8.RuneError, s
}

func hex(s []byte) (r rune) {
	for _, c := range s[:4] {
		switch {
		case c <= '9':
			c -= '0'
		default:
			c = c | 0x20 - 'a' + 10
		}
		r = r<<4 | rune(c)
	}
	return r
}

// Int returns the number that a value is, if it is one without a fraction that fits.
func Int(value []byte) (n int64, ok bool) {
	digits := bytes.TrimPrefix(value, []byte("-"))
	const longest = 18 // digits that fit for sure
	if len(digits) == 0 || len(digits) > longest+1 {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	return n, err == nil
}
