package syslog

import (
	"bytes"
	"cmp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/router"
)

// Settings of syslog-fluent-bit, beside the format.
const (
	fluentFormat   = "syslog_format"
	fluentSeverity = "severity"
	fluentFacility = "facility"
	fluentHost     = "hostname"
	fluentApp      = "appname"
	fluentProcess  = "procid"
	fluentMessage  = "msgid"
	fluentMaxSize  = "maxsize" // bytes of a message
)

// settingsOf reads syslog-fluent-bit; nil means that it is not given. Faults are in v.
func settingsOf(v *router.Values) fluentbit.Settings {
	return fluentbit.Read(v, "syslog", fluentFormat, fluentSeverity, fluentFacility, fluentHost, fluentApp, fluentProcess, fluentMessage, fluentMaxSize)
}

// FluentEncoder writes records of one session as the output syslog of Fluent Bit does, each with a line break behind it.
type FluentEncoder struct {
	before []byte // the time
	layout string // of the time in whole seconds
	micro  bool   // six more digits behind the seconds
	after  []byte // between the time and the line
	max    int    // bytes of a message
}

var _ router.Encoder = (*FluentEncoder)(nil)

// asFluentBit makes the encoder of a session; faults are in v.
func asFluentBit(v *router.Values, f fluentbit.Settings) *FluentEncoder {
	number := func(name string, def, most int) int {
		text, ok := f[name]
		if !ok {
			return def
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > most {
			v.Refuse("log-opt %s: %s is not a number from 0 to %d", fluentbit.Option("syslog").Name, name, most)
			return def
		}
		return n
	}
	priority := "<" + strconv.Itoa(number(fluentFacility, 1, 23)<<3+number(fluentSeverity, severityInfo, 7)) + ">"
	if f.OneOf(v, "syslog", fluentFormat, "rfc5424", "rfc3164") == "rfc3164" {
		e := &FluentEncoder{before: []byte(priority), layout: time.Stamp, max: number(fluentMaxSize, 1024, maxFluent)}
		rest := " "
		if host := word(f[fluentHost], 255); host != "" {
			rest += host + " "
		}
		if app := word(f[fluentApp], 48); app != "" {
			if id := word(f[fluentProcess], 128); id != "" {
				app += "[" + id + "]"
			}
			rest += app + ": "
		}
		e.after = []byte(rest)
		return e
	}
	e := &FluentEncoder{before: []byte(priority + "1 "), layout: "2006-01-02T15:04:05", micro: true, max: number(fluentMaxSize, 2048, maxFluent)}
	rest := "Z"
	for _, p := range []struct {
		name string
		max  int
	}{{fluentHost, 255}, {fluentApp, 48}, {fluentProcess, 128}, {fluentMessage, 32}} {
		rest += " " + cmp.Or(word(f[p.name], p.max), "-")
	}
	e.after = []byte(rest + " - \ufeff")
	return e
}

// maxFluent bounds a message.
const maxFluent = 1 << 20

// word returns text as it can stand in the head of a message.
func word(text string, max int) string {
	text = strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f {
			return '_'
		}
		return r
	}, text)
	return text[:min(len(text), max)]
}

// AppendRecord implements router.Encoder. Fluent Bit cuts what is longer than the largest message, without a mark.
func (e *FluentEncoder) AppendRecord(dst []byte, r *router.Record) []byte {
	start := len(dst)
	at := time.Unix(0, r.TimeNano).UTC()
	dst = at.AppendFormat(append(dst, e.before...), e.layout)
	if e.micro {
		dst = fluentbit.AppendFraction(append(dst, '.'), r.TimeNano, 6)
	}
	dst = append(dst, e.after...)
	for line := r.Line; ; {
		i := bytes.IndexByte(line, '\n')
		if i < 0 {
			dst = append(dst, line...)
			break
		}
		dst = append(append(dst, line[:i]...), escapedBreak...)
		line = line[i+1:]
	}
	if len(dst)-start > e.max {
		end := start + e.max
		for back := 0; back < utf8.UTFMax-1 && end > start && !utf8.RuneStart(dst[end]); back++ {
			end--
		}
		dst = dst[:end]
	}
	return append(dst, '\n')
}
