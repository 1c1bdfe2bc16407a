package router

import (
	"strconv"
	"time"
)

// Clock writes times in UTC as RFC 3339 does, with nine digits of the second: 2026-11-23T19:48:21.047679123Z. Most records are of the
// same second as the one before, whose text is kept. The zero value is ready for use, by one goroutine at a time.
type Clock struct {
	second int64
	text   []byte // of the second, up to the point; empty = none has been written
}

// Append appends the time that is so many nanoseconds after 1970.
func (c *Clock) Append(dst []byte, nano int64) []byte {
	sec, rest := Second(nano)
	if len(c.text) == 0 || sec != c.second {
		c.second = sec
		c.text = time.Unix(sec, 0).UTC().AppendFormat(c.text[:0], "2006-01-02T15:04:05.")
	}
	return append(AppendNano(append(dst, c.text...), rest), 'Z')
}

// Second splits a time into whole seconds and the nanoseconds after them, of which there are none below zero.
func Second(nano int64) (sec int64, rest uint32) {
	const second = int64(time.Second)
	sec, left := nano/second, nano%second
	if left < 0 {
		sec, left = sec-1, left+second
	}
	return sec, uint32(left) //nolint:gosec // less than a second
}

// AppendNano appends the nine digits of a part of a second.
func AppendNano(dst []byte, rest uint32) []byte {
	var digits [9]byte
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = '0' + byte(rest%10)
		rest /= 10
	}
	return append(dst, digits[:]...)
}

// AppendSeconds appends a time as seconds with so many decimals, 9 at most, cut and not rounded. A time before 1970 has a sign.
func AppendSeconds(dst []byte, nano int64, decimals int) []byte {
	const second = uint64(time.Second)
	n := uint64(nano) //nolint:gosec // the sign is dealt with below
	if nano < 0 {
		dst, n = append(dst, '-'), -n
	}
	dst = append(strconv.AppendUint(dst, n/second, 10), '.')
	return AppendNano(dst, uint32(n%second))[:len(dst)+decimals] //nolint:gosec // less than a second
}
