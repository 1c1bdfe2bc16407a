package protobuf

import "google.golang.org/protobuf/encoding/protowire"

// AppendFixed64 appends a field of eight bytes.
func AppendFixed64(dst []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(dst, field, protowire.Fixed64Type), v)
}

// Field is one field of a message that was read.
type Field struct {
	Number protowire.Number
	Varint uint64 // of a number
	Bytes  []byte // of a text or a message, inside of what was read
}

// Fields calls each for every field of a message, but for those of fixed size and groups. It returns false when the
// message is not one.
func Fields(message []byte, each func(Field)) (ok bool) {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return false
		}
		message = message[n:]
		f := Field{Number: number}
		switch kind {
		case protowire.VarintType:
			f.Varint, n = protowire.ConsumeVarint(message)
		case protowire.BytesType:
			f.Bytes, n = protowire.ConsumeBytes(message)
		default:
			if n = protowire.ConsumeFieldValue(number, kind, message); n < 0 {
				return false
			}
			message = message[n:]
			continue
		}
		if n < 0 {
			return false
		}
		message = message[n:]
		each(f)
	}
	return true
}
