// Package msgpack appends values in the format of that name, for encoders of log routers: what they send, and no more.
//
// Format: https://github.com/msgpack/msgpack/blob/master/spec.md
package msgpack

import (
	"encoding/binary"
	"math"
)

// AppendArray appends what comes before the n values of an array. n is below 16.
func AppendArray(dst []byte, n int) []byte { return append(dst, 0x90|byte(n)) }

// AppendMap appends what comes before the n pairs of a map.
func AppendMap(dst []byte, n int) []byte {
	switch {
	case n < 16:
		return append(dst, 0x80|byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, 0xde), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, 0xdf), uint32(n))
}

// AppendStr appends a text.
func AppendStr[T []byte | string](dst []byte, s T) []byte {
	return append(AppendStrHead(dst, len(s)), s...)
}

// AppendStrHead appends what comes before n bytes of a text.
func AppendStrHead(dst []byte, n int) []byte {
	switch {
	case n < 32:
		return append(dst, 0xa0|byte(n))
	case n <= math.MaxUint8:
		return append(dst, 0xd9, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, 0xda), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, 0xdb), uint32(n))
}

// AppendEventTime appends a time of 32 bits of seconds and the nanoseconds after them:
// https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1#eventtime-ext-format
func AppendEventTime(dst []byte, sec, nano uint32) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, 0xd7, 0x00), sec)
	return binary.BigEndian.AppendUint32(dst, nano)
}

// AppendBinHead appends what comes before n bytes of bin.
func AppendBinHead(dst []byte, n int) []byte {
	switch {
	case n <= math.MaxUint8:
		return append(dst, 0xc4, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, 0xc5), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, 0xc6), uint32(n))
}

// AppendUint appends a number that is not negative and has 32 bits at most.
func AppendUint(dst []byte, n int) []byte {
	if n < 128 {
		return append(dst, byte(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, 0xce), uint32(n))
}
