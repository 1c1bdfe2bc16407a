package loki

import (
	"github.com/secretref/secretref/logplugin/protobuf"
	"github.com/secretref/secretref/logplugin/router"
)

// appendPush appends a push of all records of b, and reports whether it is JSON. Within a run the entries of each source
// keep their order.
func appendPush(dst []byte, b *router.Batch) (push []byte, asJSON bool) {
	var first *Encoder
	if len(b.Runs) > 0 {
		first, _ = b.Runs[0].Encoder.(*Encoder)
	}
	if asJSON = first != nil && first.json; asJSON {
		dst = append(dst, `{"streams":[`...)
	}
	begin, from := len(dst), 0
	for _, run := range b.Runs {
		e, ok := run.Encoder.(*Encoder)
		if !ok {
			continue // of another router: it cannot be
		}
		sizes := sizesOf(b, from, run.End)
		for source, size := range sizes {
			switch {
			case size == 0:
				continue
			case asJSON:
				if len(dst) > begin {
					dst = append(dst, ',')
				}
				dst = append(append(append(dst, `{"stream":`...), e.streams[source]...), `,"values":`...)
				dst = appendValues(dst, b, from, run.End, source)
			default:
				dst = append(protobuf.AppendHead(dst, pushStreams, len(e.streams[source])+size), e.streams[source]...)
				dst = appendEntries(dst, b, from, run.End, source)
			}
		}
		from = run.End
	}
	if asJSON {
		dst = append(dst, `]}`...)
	}
	return dst, asJSON
}

// sizesOf returns the bytes of the records from to to-1 by source, without the bytes that say which.
func sizesOf(b *router.Batch, from, to int) (sizes [sources]int) {
	for i := from; i < to; i++ {
		start := b.Start(i)
		sizes[b.Body[start]] += b.Ends[i] - start - 1
	}
	return sizes
}

func appendEntries(dst []byte, b *router.Batch, from, to, source int) []byte {
	for i := from; i < to; i++ {
		if start := b.Start(i); int(b.Body[start]) == source {
			dst = append(dst, b.Body[start+1:b.Ends[i]]...)
		}
	}
	return dst
}

// appendValues appends a stream's entries as a JSON array, and closes the stream.
func appendValues(dst []byte, b *router.Batch, from, to, source int) []byte {
	separator := byte('[')
	for i := from; i < to; i++ {
		if start := b.Start(i); int(b.Body[start]) == source {
			dst = append(append(dst, separator), b.Body[start+1:b.Ends[i]]...)
			separator = ','
		}
	}
	return append(dst, `]}`...)
}
