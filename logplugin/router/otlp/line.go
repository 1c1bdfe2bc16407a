package otlp

import (
	"bytes"
	"math"
	"strconv"

	"github.com/secretref/secretref/logplugin/jsontext"
	"github.com/secretref/secretref/logplugin/protobuf"
)

// severity is a level, as the data model numbers and names it:
// https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber
type severity struct {
	number uint64 // 0 = none
	text   string
}

var (
	trace    = severity{1, "TRACE"}
	debug    = severity{5, "DEBUG"}
	info     = severity{9, "INFO"}
	notice   = severity{10, "INFO2"}
	warn     = severity{13, "WARN"}
	fault    = severity{17, "ERROR"}
	critical = severity{18, "ERROR2"}
	fatal    = severity{21, "FATAL"}
)

const longestLevel = len("information")

// levelOf returns the severity that a level means, in whatever case: those of syslog and of common loggers.
func levelOf(word []byte) severity {
	if len(word) > longestLevel {
		return severity{}
	}
	var lower [longestLevel]byte
	for i, c := range word {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	switch string(lower[:len(word)]) {
	case "trace", "verbose", "finest", "10":
		return trace
	case "debug", "dbg", "fine", "20":
		return debug
	case "info", "information", "inf", "30":
		return info
	case "notice":
		return notice
	case "warn", "warning", "wrn", "40":
		return warn
	case "error", "err", "severe", "50":
		return fault
	case "critical", "crit", "alert":
		return critical
	case "fatal", "panic", "emerg", "emergency", "60":
		return fatal
	}
	return severity{}
}

// isLevel reports whether a member of that name, between quotes, holds the level of a line.
func isLevel(name []byte) bool {
	switch string(name) {
	case `"level"`, `"severity"`, `"lvl"`, `"loglevel"`, `"log.level"`, `"severity_text"`:
		return true
	}
	return false
}

func isMessage(name []byte) bool { return string(name) == `"message"` || string(name) == `"msg"` }

// read looks at a line: it returns its level, and with parse puts its members into e.attributes, and its message, if it has
// one, into body.
func (e *Encoder) read(line []byte, body *[]byte) (level severity) {
	if !e.object.Open(line) {
		return levelInText(line)
	}
	hasMessage := false
	for {
		name, value, ok := e.object.Next()
		switch {
		case !ok:
			return level
		case isLevel(name) && level.number == 0:
			if level = levelOf(bytes.Trim(value, `"`)); level.number > 0 && e.levels {
				continue
			}
		case e.parse && !hasMessage && isMessage(name) && value[0] == '"':
			hasMessage = true
			e.text = jsontext.AppendUnquoted(e.text[:0], value)
			*body = e.text
			continue
		}
		if e.parse {
			e.appendMember(name, value)
		}
	}
}

// appendMember appends an attribute. Objects and arrays are texts of JSON; null is none.
func (e *Encoder) appendMember(name, value []byte) {
	e.name = jsontext.AppendUnquoted(e.name[:0], name)
	e.value = e.value[:0]
	switch value[0] {
	case 'n':
		return
	case 't':
		e.value = protobuf.AppendVarint(e.value, valueBool, 1)
	case 'f':
		e.value = protobuf.AppendVarint(e.value, valueBool, 0)
	case '"':
		e.member = jsontext.AppendUnquoted(e.member[:0], value)
		e.value = append(protobuf.AppendHead(e.value, valueString, len(e.member)), e.member...)
	case '{', '[':
		e.value = append(protobuf.AppendHead(e.value, valueString, len(value)), value...)
	default:
		e.value = appendNumber(e.value, value)
	}
	n := protobuf.FieldLen(pairKey, len(e.name)) + protobuf.FieldLen(pairValue, len(e.value))
	dst := protobuf.AppendHead(e.attributes, recordAttributes, n)
	dst = append(protobuf.AppendHead(dst, pairKey, len(e.name)), e.name...)
	e.attributes = append(protobuf.AppendHead(dst, pairValue, len(e.value)), e.value...)
}

// appendNumber appends a number as it fits best: one that does not is a text.
func appendNumber(dst, value []byte) []byte {
	const longest = 32 // digits that are worth reading
	if n, ok := jsontext.Int(value); ok {
		return protobuf.AppendVarint(dst, valueInt, uint64(n)) //nolint:gosec // negative numbers too, as the protocol has them
	}
	if len(value) <= longest {
		if f, err := strconv.ParseFloat(string(value), 64); err == nil {
			return protobuf.AppendFixed64(dst, valueDouble, math.Float64bits(f))
		}
	}
	return append(protobuf.AppendHead(dst, valueString, len(value)), value...)
}

// levelInText returns the level in a line like time=... level=warn msg=...
func levelInText(line []byte) severity {
	const within = 256 // bytes at the beginning of a line
	rest := line[:min(len(line), within)]
	for {
		i := bytes.Index(rest, []byte("level="))
		if i < 0 {
			return severity{}
		}
		before := i == 0 || rest[i-1] == ' '
		rest = rest[i+len("level="):]
		if !before {
			continue
		}
		word := bytes.TrimLeft(rest, `"`)
		end := bytes.IndexAny(word, "\" \t,")
		if end < 0 {
			end = len(word)
		}
		return levelOf(word[:end])
	}
}
