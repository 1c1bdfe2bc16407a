// Package jsontext writes JSON text for encoders of log routers, without allocation: strings, and lines that are JSON
// themselves.
//
// It writes what encoding/json writes, and is as strict as that: what it appends is valid JSON and valid UTF-8, whatever
// a container has printed.
package jsontext

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// plainByte holds which bytes stand for themselves in a JSON string as Docker's driver writes it: like encoding/json,
// it escapes < > & as well, so that the text can be put into a web page.
var plainByte = func() (t [256]bool) {
	for c := 0x20; c < utf8.RuneSelf; c++ {
		t[c] = true
	}
	for _, c := range `"\<>&` {
		t[c] = false
	}
	return t
}()

// plainBytes returns how many bytes at the start of s stand for themselves, as far as whole words of eight show it: the
// rest, and the byte that ends them, is looked at one by one.
func plainBytes(s []byte) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; len(s)-n >= 8; n += 8 {
		w := binary.LittleEndian.Uint64(s[n:])
		// Each term has the highest bit of a byte set that is one of those it looks for. A borrow may set that of a byte
		// behind such a one, never before it.
		found := w | // not ASCII
			(w - ones*' ') | // control characters
			((w ^ ones*'\\') - ones) |
			(((w &^ (ones * ('"' ^ '&'))) ^ ones*('"'&'&')) - ones) | // " and &, which differ in one bit
			(((w &^ (ones * ('<' ^ '>'))) ^ ones*('<'&'>')) - ones)
		if found &= highs; found != 0 {
			return n + bits.TrailingZeros64(found)/8
		}
	}
	return n
}

// AppendString appends s as a JSON string. Each byte that is not UTF-8 becomes \ufffd.
func AppendString(dst, s []byte) []byte {
	return append(AppendEscaped(append(dst, '"'), s), '"')
}

// AppendEscaped appends what stands between the quotes. U+2028 and U+2029 are escaped because JavaScript ends a line there.
func AppendEscaped(dst, s []byte) []byte {
	start := 0
	for i := plainBytes(s); i < len(s); {
		c := s[i]
		if plainByte[c] {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			dst = append(dst, s[start:i]...)
			dst = appendEscape(dst, c)
			i++
			start = i
			i += plainBytes(s[i:])
			continue
		}
		r, size := utf8.DecodeRune(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			dst = append(append(dst, s[start:i]...), `\ufffd`...)
			start = i + size
		case r == '\u2028' || r == '\u2029':
			dst = append(append(dst, s[start:i]...), `\u202`...)
			dst = append(dst, hexDigits[r&0xf])
			start = i + size
		}
		i += size
	}
	return append(dst, s[start:]...)
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
}

// MaxDepth is how deep a line's arrays and objects may be nested to be sent as JSON; a deeper one is sent as a string.
const MaxDepth = 512

// scanner walks over one JSON text and appends it without white space between its parts. What is inside strings,
// numbers and the order of keys stay as they are, but for the escapes of AppendEscaped.
type scanner struct {
	s      []byte
	i      int
	dst    []byte
	depth  int
	object [MaxDepth / 64]uint64 // one bit for each open level: is it an object?
}

// AppendCompact appends line if it is one valid JSON text (RFC 8259), and reports whether it was.
func AppendCompact(dst, line []byte) ([]byte, bool) {
	before := len(dst)
	sc := scanner{s: line, dst: dst}
	if !sc.text() {
		return sc.dst[:before], false
	}
	return sc.dst, true
}

func (sc *scanner) text() bool {
	for {
		sc.space()
		opened, ok := sc.value()
		if !ok {
			return false
		}
		if opened {
			continue
		}
		for { // after a value: close levels, until one goes on or the text ends
			sc.space()
			if sc.depth == 0 {
				return sc.i == len(sc.s)
			}
			if sc.take(',') {
				if sc.inObject() {
					sc.space()
					if !sc.key() {
						return false
					}
				}
				break
			}
			closing := byte(']')
			if sc.inObject() {
				closing = '}'
			}
			if !sc.take(closing) {
				return false
			}
			sc.depth--
		}
	}
}

// value takes a value; of an array or object that is not empty, what comes before its first value. Then opened is true.
func (sc *scanner) value() (opened, ok bool) {
	if sc.i == len(sc.s) {
		return false, false
	}
	switch c := sc.s[sc.i]; {
	case (c == '{' || c == '[') && sc.depth == MaxDepth:
		return false, false
	case c == '{':
		sc.take('{')
		sc.space()
		if sc.take('}') {
			return false, true
		}
		sc.open(true)
		return true, sc.key()
	case c == '[':
		sc.take('[')
		sc.space()
		if sc.take(']') {
			return false, true
		}
		sc.open(false)
		return true, true
	case c == '"':
		return false, sc.str()
	case c == '-' || c >= '0' && c <= '9':
		return false, sc.number()
	case c == 't':
		return false, sc.word("true")
	case c == 'f':
		return false, sc.word("false")
	case c == 'n':
		return false, sc.word("null")
	}
	return false, false
}

func (sc *scanner) open(object bool) {
	bit := uint64(1) << (sc.depth % 64)
	if object {
		sc.object[sc.depth/64] |= bit
	} else {
		sc.object[sc.depth/64] &^= bit
	}
	sc.depth++
}

func (sc *scanner) inObject() bool {
	d := sc.depth - 1
	return sc.object[d/64]>>(d%64)&1 == 1
}

// key takes a key and its colon.
func (sc *scanner) key() bool {
	if sc.i == len(sc.s) || sc.s[sc.i] != '"' || !sc.str() {
		return false
	}
	sc.space()
	return sc.take(':')
}

func (sc *scanner) space() {
	for sc.i < len(sc.s) {
		switch sc.s[sc.i] {
		case ' ', '\t', '\r', '\n':
			sc.i++
		default:
			return
		}
	}
}

func (sc *scanner) take(c byte) bool {
	if sc.i == len(sc.s) || sc.s[sc.i] != c {
		return false
	}
	sc.i++
	sc.dst = append(sc.dst, c)
	return true
}

func (sc *scanner) word(w string) bool {
	if len(sc.s)-sc.i < len(w) || string(sc.s[sc.i:sc.i+len(w)]) != w {
		return false
	}
	sc.i += len(w)
	sc.dst = append(sc.dst, w...)
	return true
}

func (sc *scanner) number() bool {
	start := sc.i
	if sc.s[sc.i] == '-' {
		sc.i++
	}
	switch {
	case sc.i == len(sc.s):
		return false
	case sc.s[sc.i] == '0': // nothing but a fraction or an exponent may follow
		sc.i++
	case !sc.digits():
		return false
	}
	if sc.i < len(sc.s) && sc.s[sc.i] == '.' {
		sc.i++
		if !sc.digits() {
			return false
		}
	}
	if sc.i < len(sc.s) && sc.s[sc.i]|0x20 == 'e' {
		sc.i++
		if sc.i < len(sc.s) && (sc.s[sc.i] == '+' || sc.s[sc.i] == '-') {
			sc.i++
		}
		if !sc.digits() {
			return false
		}
	}
	sc.dst = append(sc.dst, sc.s[start:sc.i]...)
	return true
}

func (sc *scanner) digits() bool {
	start := sc.i
	for sc.i < len(sc.s) && sc.s[sc.i]-'0' <= 9 {
		sc.i++
	}
	return sc.i > start
}

// str takes a string: its own escapes are checked and stay, what is between them is escaped anew.
func (sc *scanner) str() bool {
	sc.dst = append(sc.dst, '"')
	sc.i++
	start := sc.i
	for sc.i < len(sc.s) {
		c := sc.s[sc.i]
		switch {
		case c == '"':
			sc.dst = append(AppendEscaped(sc.dst, sc.s[start:sc.i]), '"')
			sc.i++
			return true
		case c < ' ':
			return false
		case c == '\\':
			sc.dst = AppendEscaped(sc.dst, sc.s[start:sc.i])
			size := escapeLen(sc.s[sc.i:])
			if size == 0 {
				return false
			}
			sc.dst = append(sc.dst, sc.s[sc.i:sc.i+size]...)
			sc.i += size
			start = sc.i
		default:
			sc.i++
		}
	}
	return false
}

// escapeLen returns the length of the escape at the start of s, 0 for none.
func escapeLen(s []byte) int {
	if len(s) < 2 {
		return 0
	}
	switch s[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(s) < 6 {
			return 0
		}
		for _, c := range s[2:6] {
			if !(c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f') {
				return 0
			}
		}
		return 6
	}
	return 0
}
