package elasticsearch

import (
	"strings"
	"time"

	"github.com/secretref/secretref/logplugin/jsontext"
	"github.com/secretref/secretref/logplugin/router"
)

// indexName is the name of the index or data stream of a session's records. With a date in it, that is of the record.
type indexName struct {
	parts []string // texts, and between two of them a date of the layout in dates
	dates []string
	after []byte // what of the action stands behind the name
	// The action up to there, for the hour that begins at from. Most records are of the same hour as the one before.
	from int64
	head []byte
}

// layouts are the dates that may be in a name, as strftime and Fluent Bit's logstash_dateformat write them.
var layouts = map[byte]string{'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'H': "15", 'j': "002"}

// newIndexName reads the option; the faults are in v. after is what of an action stands behind the name and its quote.
func newIndexName(v *router.Values, after []byte) indexName {
	text := v.String(index, defaultIndex)
	n := indexName{parts: []string{""}, after: after}
	for i := 0; i < len(text); i++ {
		last := &n.parts[len(n.parts)-1]
		if text[i] != '%' {
			*last += text[i : i+1]
			continue
		}
		i++
		if i == len(text) || layouts[text[i]] == "" {
			v.Refuse("log-opt %s: %s has a %% that is not a date; write %%Y, %%m, %%d, %%H, %%y or %%j", index, v.Shown(index))
			return n
		}
		n.dates, n.parts = append(n.dates, layouts[text[i]]), append(n.parts, "")
	}
	for i, part := range n.parts {
		n.parts[i] = allowed(part)
	}
	n.parts[0] = strings.TrimLeft(n.parts[0], "-_+")
	const longest = 255 // bytes, of a name; a date is no longer than its % and letter by more than two
	switch whole := strings.Join(n.parts, ""); {
	case whole == "" && len(n.dates) == 0, strings.Trim(whole, ".") == "" && len(n.dates) == 0:
		v.Refuse("log-opt %s: %s is not the name of an index", index, v.Shown(index))
	case len(whole)+4*len(n.dates) > longest:
		v.Refuse("log-opt %s has more than %d bytes", index, longest)
	}
	n.make(0)
	return n
}

// allowed returns text in small letters, and with a dash for what the name of an index cannot have.
func allowed(text string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f || strings.ContainsRune(`\/*?"<>|,#:`, r) {
			return '-'
		}
		return r
	}, strings.ToLower(strings.ToValidUTF8(text, "-")))
}

// action returns the action that creates a record of that time, up to what is behind the name. It is valid until the next call.
func (n *indexName) action(nano int64) []byte {
	if len(n.dates) > 0 && (nano < n.from || nano-n.from >= int64(time.Hour)) {
		n.make(nano)
	}
	return n.head
}

func (n *indexName) make(nano int64) {
	hour := time.Unix(0, nano).UTC().Truncate(time.Hour)
	n.from, n.head = hour.UnixNano(), append(n.head[:0], `{"create":{"_index":"`...)
	for i, part := range n.parts {
		n.head = jsontext.AppendEscaped(n.head, []byte(part))
		if i < len(n.dates) {
			n.head = hour.AppendFormat(n.head, n.dates[i])
		}
	}
	n.head = append(append(n.head, '"'), n.after...)
}
