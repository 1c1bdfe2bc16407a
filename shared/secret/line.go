package secret

import "strings"

// CutLineEnding returns a credential without the line ending at its end, \n or \r\n, and whether it had one. Exactly one
// is dropped: a value that was pasted or piped into a secret often has one, and no receiver of a password or a token wants it.
// A lone carriage return is not a line ending.
func CutLineEnding(s string) (string, bool) {
	s, ok := strings.CutSuffix(s, "\n")
	if ok {
		s = strings.TrimSuffix(s, "\r")
	}
	return s, ok
}
