package s3

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/secretref/secretref/logplugin/fluentbit"
)

// maxKey is how many bytes a key may have.
const maxKey = 1024

// key makes the keys of a session's objects.
type key struct {
	parts  []keyPart
	suffix bool // none of the parts differs from object to object for sure, so that something is put behind them
}

// keyPart is a text, a time, or what names an object.
type keyPart struct {
	text  string
	time  *fluentbit.TimeFormat
	index bool // $INDEX
	id    bool // $UUID
}

// variable is what stands in a format for something else.
var variable = regexp.MustCompile(`\$(TAG(\[[0-9]\])?|UUID|INDEX)`)

// parseKey reads a format, as the output s3 of Fluent Bit has it, for a session with this tag, whose parts are between delimiters. A
// part that the tag has not stays as it is written.
func parseKey(format, tag, delimiters string) (key, error) {
	k := key{suffix: true}
	switch {
	case !strings.HasPrefix(format, "/"):
		return k, errors.New("it does not begin with a slash")
	case len(format) > maxKey/2:
		return k, errors.New("it has more than " + strconv.Itoa(maxKey/2) + " bytes")
	case !plainKey(format):
		return k, errors.New("there is a control character in it")
	}
	tags := strings.FieldsFunc(tag, func(c rune) bool { return strings.ContainsRune(delimiters, c) })
	format = format[1:]
	for format != "" {
		at := variable.FindStringIndex(format)
		if at == nil {
			at = []int{len(format), len(format)}
		}
		if before := format[:at[0]]; before != "" {
			t, err := fluentbit.ParseTimeFormat(before, false)
			if err != nil {
				return k, err
			}
			k.parts = append(k.parts, keyPart{time: &t})
		}
		switch name := format[at[0]:at[1]]; {
		case name == "":
		case name == "$TAG":
			k.parts = append(k.parts, keyPart{text: tag})
		case name == "$UUID":
			k.parts, k.suffix = append(k.parts, keyPart{id: true}), false
		case name == "$INDEX":
			k.parts, k.suffix = append(k.parts, keyPart{index: true}), false
		default:
			if n := int(name[len("$TAG[")] - '0'); n < len(tags) {
				name = tags[n]
			}
			k.parts = append(k.parts, keyPart{text: name})
		}
		format = format[at[1]:]
	}
	return k, nil
}

// of returns the key of the object whose first line has this time and this position in the session.
func (k key) of(session string, nano, position int64) string {
	var text []byte
	for _, p := range k.parts {
		switch {
		case p.time != nil:
			t := *p.time // several goroutines may send objects of the session, and it keeps what it has written last
			text = t.Append(text, nano)
		case p.index:
			text = strconv.AppendInt(text, max(nano, 0), 10)
			text = append(text, nameOf(session, nano, position, "0123456789", indexDigits)...)
		case p.id:
			text = append(text, uuidOf(session, nano, position)...)
		default:
			text = append(text, p.text...)
		}
	}
	s := strings.ToValidUTF8(string(text), "_")
	after := ""
	if k.suffix || len(s) > maxKey { // what differs from object to object may stand in what is cut off
		after = "-object" + uuidOf(session, nano, position)
	}
	if most := maxKey - len(after); len(s) > most {
		for most > 0 && !utf8.RuneStart(s[most]) {
			most--
		}
		s = s[:most]
	}
	return s + after
}

// How many characters of an object's name are enough for objects with nothing else that differs in their keys: any number of hosts may
// store objects below one prefix, and two that get one key lose the lines of the first. An index begins with a time already.
const (
	uuidLetters = 16
	indexDigits = 10
)

func uuidOf(session string, nano, position int64) string {
	return nameOf(session, nano, position, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", uuidLetters)
}

// nameOf is the name of an object in n of the given digits, of at most 20: the same whenever it is sent, and no other object's.
func nameOf(session string, nano, position int64, digits string, n int) string {
	text := binary.BigEndian.AppendUint64([]byte(session), uint64(nano))        //nolint:gosec // only the bytes matter
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(text, uint64(position))) //nolint:gosec // likewise
	name := make([]byte, n)
	base := uint64(len(digits))
	for i := range name {
		half := sum[i%2*8:] // 64 bits are enough for ten of 62 digits
		rest := binary.BigEndian.Uint64(half)
		name[i] = digits[rest%base]
		binary.BigEndian.PutUint64(half, rest/base)
	}
	return string(name)
}
