package gelf

import (
	"slices"
	"strconv"
	"strings"

	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/jsontext"
	"github.com/secretref/secretref/logplugin/router"
)

// Settings of gelf-fluent-bit.
const (
	hostKey = "gelf_host_key" // the member of the record that is the host
	tagKey  = "gelf_tag_key"  // the name of a member with the tag
)

// settingsOf reads gelf-fluent-bit; nil means that it is not given. Faults are in v.
func settingsOf(v *router.Values) fluentbit.Settings {
	return fluentbit.Read(v, "gelf", hostKey, tagKey)
}

// asFluentBit makes the encoder of a session, as the output gelf of Fluent Bit writes its records.
func asFluentBit(s router.Session, f fluentbit.Settings) *Encoder {
	host := s.Host
	fields := map[string]string{}
	for _, m := range fluentbit.Members(s) {
		if m.Name == f[hostKey] {
			host = m.Value
			continue
		}
		fields[fieldName(m.Name)] = m.Value
	}
	if name := f[tagKey]; name != "" {
		fields[fieldName(name)] = s.Tag
	}
	e := &Encoder{head: appendMember([]byte(`{"version":"1.1",`), "host", host), fluent: true}
	e.head = append(e.head, `,"short_message":`...)
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		e.rest = appendMember(append(e.rest, ','), name, fields[name])
	}
	e.rest = append(e.rest, "}\x00"...)
	return e
}

// fieldName is the name of a field that the format lets a message add.
func fieldName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_.-", r) {
			return r
		}
		return '_'
	}, name)
	if name == "id" { // which the format forbids
		name = "id_"
	}
	return "_" + name
}

// appendFluentBit appends a record of Fluent Bit's payload.
func (e *Encoder) appendFluentBit(dst []byte, r *router.Record) []byte {
	dst = jsontext.AppendString(append(dst, e.head...), r.Line)
	dst = append(dst, `,"timestamp":`...)
	dst = strconv.AppendInt(dst, r.TimeNano/1e9, 10)
	dst = fluentbit.AppendFraction(append(dst, '.'), r.TimeNano, 3)
	dst = jsontext.AppendString(append(dst, `,"_source":`...), r.Source)
	return append(dst, e.rest...)
}
