// Package protobuf writes and reads the few protocol buffer fields that log routers need, without generated code: what a
// line costs is decided here. Use it for messages of a dozen fields, whose numbers are constants of the router.
//
// It promises that a text which it writes is valid UTF-8, as receivers that are strict want it: each byte that is not
// becomes U+FFFD. It refuses, when it reads, whatever is cut or longer than what it was given.
package protobuf

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// replacement is U+FFFD.
const replacement = "\ufffd"

// Text is a text or its bytes.
type Text interface{ ~string | ~[]byte }

// TextLen returns how many bytes AppendText writes for the text itself. It is len(s) for valid UTF-8 alone.
func TextLen(s []byte) int {
	if utf8.Valid(s) {
		return len(s)
	}
	n := 0
	for len(s) > 0 {
		r, size := utf8.DecodeRune(s)
		if s = s[size:]; r == utf8.RuneError && size == 1 {
			n += len(replacement)
			continue
		}
		n += size
	}
	return n
}

// AppendText appends the text s, of which TextLen has said that it takes n bytes, behind a head.
func AppendText(dst, s []byte, n int) []byte {
	if n == len(s) {
		return append(dst, s...)
	}
	for len(s) > 0 {
		r, size := utf8.DecodeRune(s)
		if r == utf8.RuneError && size == 1 {
			dst = append(dst, replacement...)
		} else {
			dst = append(dst, s[:size]...)
		}
		s = s[size:]
	}
	return dst
}

// AppendString appends a field with a text. Use it for what is not written once per line.
func AppendString[T Text](dst []byte, field protowire.Number, s T) []byte {
	n := TextLen([]byte(s))
	return AppendText(AppendHead(dst, field, n), []byte(s), n)
}

// AppendHead appends the tag and the length of a field whose n bytes follow: a text or a message.
func AppendHead(dst []byte, field protowire.Number, n int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.BytesType), uint64(n))
}

// AppendVarint appends a field with a number.
func AppendVarint(dst []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.VarintType), v)
}

// FieldLen returns the bytes of a field that AppendHead begins, with the n bytes that follow.
func FieldLen(field protowire.Number, n int) int {
	return protowire.SizeTag(field) + protowire.SizeBytes(n)
}
