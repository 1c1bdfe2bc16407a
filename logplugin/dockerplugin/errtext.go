package dockerplugin

import (
	"strings"

	"github.com/secretref/secretref/shared/fault"
)

// exitCodes are the words that make the daemon take a refused log driver for a broken command: it looks for them in the
// whole text, gives the container exit code 126 or 127, and adds advice about mounts. Each comes with other words.
var exitCodes = [][2]string{
	{"permission denied", "access refused"},
	{"no such file or directory", "it does not exist"},
	{"not a directory", "not a folder"},
	{"is a directory", "is a folder"},
	{"executable file not found", "program not found"},
	{"system cannot find the file specified", "system has no such file"},
}

// errText returns err's text as docker run may show it: one line, with our name at its beginning.
func errText(err error) string {
	if err == nil {
		return ""
	}
	text := fault.OneLine(err.Error())
	for _, w := range exitCodes {
		text = replaceFold(text, w[0], w[1])
	}
	return "secretref: " + text
}

// replaceFold replaces every old, whatever its case, which the daemon does not mind either. old is ASCII, so it has the
// same length in each case.
func replaceFold(s, old, words string) string {
	var b strings.Builder
	for len(s) >= len(old) {
		if strings.EqualFold(s[:len(old)], old) {
			b.WriteString(words)
			s = s[len(old):]
			continue
		}
		b.WriteByte(s[0])
		s = s[1:]
	}
	return b.String() + s
}
