package jsontext

// Members are those of a line that is a JSON object, for receivers whose logs have attributes and a message. Their memory is
// used again for the next line.
type Members struct {
	// Text is the members but for the message, each with a comma before it: ,"name":value.
	Text    []byte
	object  Object
	message []byte
}

// Reset forgets the line before.
func (m *Members) Reset() { m.Text = m.Text[:0] }

// Read returns the message of line: its member "message" or "msg" if it is a JSON object with such a text, else line itself. A
// member whose name is taken gets "line." in front of it.
func (m *Members) Read(line []byte, taken func(name []byte) bool) (message []byte) {
	m.Reset()
	if !m.object.Open(line) {
		return line
	}
	message = line
	found := false
	for {
		quoted, value, ok := m.object.Next()
		if !ok {
			return message
		}
		name := quoted[1 : len(quoted)-1]
		if !found && value[0] == '"' && (string(name) == "message" || string(name) == "msg") {
			found = true
			m.message = AppendUnquoted(m.message[:0], value)
			message = m.message
			continue
		}
		m.Text = append(m.Text, `,"`...)
		if taken(name) {
			m.Text = append(m.Text, "line."...)
		}
		m.Text = append(append(m.Text, name...), `":`...)
		m.Text = append(m.Text, value...)
	}
}

// AppendCut appends line, escaped, so that it takes at most max bytes, or as much of its beginning as does with mark behind it. cut
// returns that beginning of a line, in so many bytes, and the mark.
func AppendCut(dst, line []byte, max int, cut func(line []byte, max int) (head []byte, mark string)) []byte {
	before := len(dst)
	head, mark := cut(line, max)
	dst = AppendEscaped(dst, head)
	if len(dst)-before > max { // an escape is up to six bytes long
		const longest = 6
		head, mark = cut(line, max/longest)
		dst = AppendEscaped(dst[:before], head)
	}
	return append(dst, mark...)
}
