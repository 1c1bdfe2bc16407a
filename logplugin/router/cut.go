package router

import "unicode/utf8"

// CutMark is at the end of a line that was longer than the receiver takes.
const CutMark = " [cut: the line is too long for the receiver]"

// Cut returns line, or as much of its beginning as leaves room for CutMark in max bytes, and then that mark. It does not
// cut a character in two.
func Cut(line []byte, max int) (head []byte, mark string) {
	if len(line) <= max {
		return line, ""
	}
	n := max - len(CutMark)
	for i := 0; i < utf8.UTFMax && n > 0 && !utf8.RuneStart(line[n]); i++ {
		n--
	}
	return line[:n], CutMark
}
