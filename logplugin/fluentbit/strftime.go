package fluentbit

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// TimeFormat writes a time as strftime does, in UTC. It is made by ParseTimeFormat, and what it writes needs no escape in JSON. Most times
// are of the same second as the one before, whose texts are kept: it is for one goroutine at a time.
type TimeFormat struct {
	parts  []timePart
	second int64
	texts  [][]byte // of each part, at that second; nil = none was written
}

// timePart is a text, a layout of package time, or a part of a second.
type timePart struct {
	text   string
	layout string
	digits int // of the part of a second; 0 = it is none
}

// timeLayouts are the letters of strftime that can stand in a format, as package time writes them. Those of a locale are those of C.
var timeLayouts = map[byte]string{
	'Y': "2006", 'y': "06", 'm': "01", 'b': "Jan", 'h': "Jan", 'B': "January", 'd': "02", 'e': "_2", 'j': "002", 'a': "Mon", 'A': "Monday",
	'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM", 'F': "2006-01-02", 'T': "15:04:05", 'D': "01/02/06", 'R': "15:04",
	'r': "03:04:05 PM", 'c': "Mon Jan _2 15:04:05 2006", 'x': "01/02/06", 'X': "15:04:05", 'z': "-0700", 'Z': "UTC",
}

// maxTimeFormat bounds a format: what it gives goes with every line.
const maxTimeFormat = 200

// ParseTimeFormat reads a format. With fractions it may also have %3N, %6N, %9N and %L, which the outputs for AWS know.
func ParseTimeFormat(format string, fractions bool) (TimeFormat, error) {
	var f TimeFormat
	switch {
	case len(format) > maxTimeFormat:
		return f, fmt.Errorf("it has more than %d bytes", maxTimeFormat)
	case strings.ContainsFunc(format, func(c rune) bool { return c < ' ' || c == '"' || c == '\\' }):
		return f, errors.New("it has a character that JSON would have to escape")
	}
	add := func(p timePart) { f.parts = append(f.parts, p) }
	for format != "" {
		before, after, found := strings.Cut(format, "%")
		if before != "" {
			add(timePart{text: before})
		}
		if !found {
			break
		}
		if after == "" {
			return f, errors.New("it ends in a %")
		}
		letter, rest := after[0], after[1:]
		switch {
		case letter == '%':
			add(timePart{text: "%"})
		case letter == 's':
			add(timePart{layout: "s"})
		case fractions && letter == 'L':
			add(timePart{digits: 3})
		case fractions && (letter == '3' || letter == '6' || letter == '9') && strings.HasPrefix(rest, "N"):
			add(timePart{digits: int(letter - '0')})
			rest = rest[1:]
		case timeLayouts[letter] != "":
			add(timePart{layout: timeLayouts[letter]})
		default:
			return f, fmt.Errorf("%%%c is not supported in it", letter)
		}
		format = rest
	}
	return f, nil
}

// Append appends a time.
func (f *TimeFormat) Append(dst []byte, nano int64) []byte {
	if second := floor(nano, int64(time.Second)); f.texts == nil || second != f.second {
		f.write(second)
	}
	for i, p := range f.parts {
		if p.digits > 0 {
			dst = AppendFraction(dst, nano, p.digits)
		} else {
			dst = append(dst, f.texts[i]...)
		}
	}
	return dst
}

// write keeps the texts of a second.
func (f *TimeFormat) write(second int64) {
	if f.second = second; f.texts == nil {
		f.texts = make([][]byte, len(f.parts))
	}
	at := time.Unix(second, 0).UTC()
	for i, p := range f.parts {
		kept := f.texts[i][:0]
		switch p.layout {
		case "":
			f.texts[i] = append(kept, p.text...)
		case "s":
			f.texts[i] = strconv.AppendInt(kept, second, 10)
		default:
			f.texts[i] = at.AppendFormat(kept, p.layout)
		}
	}
}

// AppendFraction appends the first digits of a time's part of a second.
func AppendFraction(dst []byte, nano int64, digits int) []byte {
	rest := nano - floor(nano, int64(time.Second))*int64(time.Second)
	for by := int64(1e8); digits > 0; digits, by = digits-1, by/10 {
		dst = append(dst, '0'+byte(rest/by%10))
	}
	return dst
}
