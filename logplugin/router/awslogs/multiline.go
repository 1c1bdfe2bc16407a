package awslogs

import (
	"strings"

	"github.com/secretref/secretref/logplugin/router"
)

// timePatterns are the regular expressions for the letters of strftime that Docker's driver knows.
func timePatterns() map[byte]string {
	return map[byte]string{
		'a': `(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)`, 'A': `(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day`, 'w': `[0-6]`,
		'b': `(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)`,
		'B': `(?:January|February|March|April|May|June|July|August|September|October|November|December)`,
		'd': `(?:0[1-9]|[12]\d|3[01])`, 'm': `(?:0[1-9]|1[0-2])`, 'j': `(?:[0-2]\d\d|3[0-5]\d|36[0-6])`, 'Y': `\d{4}`, 'y': `\d{2}`,
		'H': `(?:[01]\d|2[0-3])`, 'I': `(?:0\d|1[0-2])`, 'p': `[AP]M`, 'M': `[0-5]\d`, 'S': `[0-5]\d`,
		'f': `\d{6}`, 'L': `\.\d{3}`, 'z': `[+-]\d{4}`, 'Z': `[A-Z]{2,5}`,
	}
}

// firstLine returns the regular expression that the first line of an event matches; "" means that the options do not say.
func firstLine(v *router.Values) string {
	pattern, date := v.String(multiline, ""), v.String(datetimeFormat, "")
	switch {
	case pattern != "" && date != "":
		v.Refuse("log-opts %s and %s both say where an event begins; give one", datetimeFormat, multiline)
	case (pattern != "" || date != "") && v.Has(format):
		v.Refuse("log-opt %s=%s takes each line as an event; give neither %s nor %s with it", format, embeddedMetrics, datetimeFormat, multiline)
	case date != "":
		return timePattern(v, date)
	}
	return pattern
}

// timePattern makes a regular expression of a strftime format. What stands between its letters is one already, as for Docker's
// driver.
func timePattern(v *router.Values, date string) string {
	known := timePatterns()
	var b strings.Builder
	for i := 0; i < len(date); i++ {
		if date[i] != '%' {
			b.WriteByte(date[i])
			continue
		}
		if i++; i == len(date) || known[date[i]] == "" {
			v.Refuse("log-opt %s: %s has a %% without one of the letters aAwbBdmjYyHIpMSfLzZ behind it", datetimeFormat, v.Shown(datetimeFormat))
			return ""
		}
		b.WriteString(known[date[i]])
	}
	return b.String()
}
