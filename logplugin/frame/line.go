package frame

import "encoding/binary"

// AppendLine appends to dst the frame of e that the daemon expects in the answer to ReadLogs: with the newline that it has
// taken from the line, unless more pieces of the line follow. The daemon reads nothing but the source, the time and the line.
func AppendLine(dst []byte, e *Entry) []byte {
	newline := !e.Partial || e.Last
	size := len(e.Line)
	if newline {
		size++
	}
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	if len(e.Source) > 0 {
		dst = appendBytes(dst, tagSource, e.Source)
	}
	if e.TimeNano != 0 {
		dst = appendNumber(dst, tagTime, uint64(e.TimeNano)) //nolint:gosec // a negative time has ten bytes
	}
	if size > 0 {
		dst = append(appendNumber(dst, tagLine, uint64(size)), e.Line...)
		if newline {
			dst = append(dst, '\n')
		}
	}
	if e.Partial && !e.Last {
		dst = appendNumber(dst, tagPartial, 1)
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-HeaderBytes)) //nolint:gosec // as in AppendFrame
	return dst
}
