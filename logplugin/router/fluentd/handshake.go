package fluentd

import (
	"bufio"
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/secretref/secretref/logplugin/msgpack"
	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/secret"
)

// identity is what a client proves in a handshake.
type identity struct {
	hostname string
	key      secret.Value
	username secret.Value
	password secret.Value
	redact   func(text string, more ...string) string // takes the destination's secrets out of a text, and more
}

// refusal is a handshake that ended for another reason than the network.
type refusal struct {
	cause    string
	hint     string
	config   bool // another credential would not help
	sameName bool // the receiver has the client's host name
}

func (r *refusal) Error() string { return r.cause }

const (
	keyHint  = "put the receiver's key into the secret of fluentd-shared-key"
	userHint = "set fluentd-username and fluentd-password"
	bothHint = "put what it wants into the secrets of fluentd-shared-key, fluentd-username and fluentd-password"
)

// hello is the receiver's first message.
type hello struct {
	nonce, auth string
	keepalive   bool
}

func isHello(v any) bool {
	m, ok := v.([]any)
	return ok && len(m) > 0 && m[0] == "HELO"
}

// parseHello takes nonce and auth as str, as Fluent Bit sends them, and as bin, as Fluentd does.
func parseHello(v any) (hello, error) {
	h := hello{keepalive: true}
	m, _ := v.([]any)
	if !isHello(v) || len(m) != 2 {
		return h, errMsgpack
	}
	o, ok := m[1].(map[string]any)
	if !ok {
		return h, errMsgpack
	}
	var okNonce, okAuth bool
	h.nonce, okNonce = o["nonce"].(string)
	h.auth, okAuth = o["auth"].(string)
	if keep, there := o["keepalive"]; there {
		if h.keepalive, ok = keep.(bool); !ok {
			return h, errMsgpack
		}
	}
	if o["auth"] == nil {
		okAuth = true // no users
	}
	if !okNonce || !okAuth {
		return h, errMsgpack
	}
	return h, nil
}

// shake does the handshake. It calls step before it waits for the receiver, which sets the deadline. An error of another
// type than *refusal is the network's.
func shake(c net.Conn, r *bufio.Reader, id identity, step func()) (hello, error) {
	step()
	first, err := readMessage(r, ofHandshake)
	if err != nil {
		return hello{}, fmt.Errorf("read HELO: %w", err)
	}
	h, err := parseHello(first)
	if err != nil {
		return h, err
	}
	p := newProofs(h, id)
	step()
	if _, err := c.Write(p.ping(id)); err != nil {
		return h, fmt.Errorf("send PING: %w", err)
	}
	answer, err := readMessage(r, ofHandshake)
	if errors.Is(err, io.EOF) || isReset(err) {
		// Fluent Bit closes without a word when the key is wrong.
		return h, &refusal{cause: "the receiver closed the connection at the handshake", hint: keyHint}
	}
	if err != nil {
		return h, fmt.Errorf("read PONG: %w", err)
	}
	return h, p.check(answer, id)
}

// proofs are the digests of one handshake.
type proofs struct {
	hello     hello
	salt      string
	key, user string // of the client
}

func newProofs(h hello, id identity) proofs {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	p := proofs{hello: h, salt: hex.EncodeToString(random[:])}
	p.key = digest(p.salt, id.hostname, h.nonce, id.key.Reveal())
	if h.auth != "" {
		// Fluent Bit sends a salt also when it knows no users, and takes an empty name then.
		p.user = digest(h.auth, id.username.Reveal(), id.password.Reveal())
	}
	return p
}

// ping returns PING. Everything is str, and the salt of printable characters: Fluent Bit takes no bin.
func (p proofs) ping(id identity) []byte {
	username := ""
	if p.hello.auth != "" {
		username = id.username.Reveal()
	}
	b := msgpack.AppendArray(nil, 6)
	for _, part := range []string{"PING", id.hostname, p.salt, p.key, username, p.user} {
		b = msgpack.AppendStr(b, part)
	}
	return b
}

// check reads PONG. It also makes sure that the receiver knows the key: lines go to no other. A receiver of the client's
// own host name proves nothing, because it could send the client's digest back.
func (p proofs) check(v any, id identity) error {
	m, ok := v.([]any)
	if !ok || len(m) < 2 || m[0] != "PONG" {
		return errMsgpack
	}
	m = append(m, "", "", "") // a refusal may leave the rest out
	accepted, okAccepted := m[1].(bool)
	reason, _ := m[2].(string)
	hostname, _ := m[3].(string)
	proof, _ := m[4].(string)
	switch {
	case !okAccepted:
		return errMsgpack
	case !accepted:
		return p.refused(reason, id)
	case subtle.ConstantTimeCompare([]byte(proof), []byte(digest(p.salt, hostname, p.hello.nonce, id.key.Reveal()))) != 1:
		return &refusal{cause: "the receiver does not know the shared key", hint: keyHint}
	case hostname == id.hostname:
		return &refusal{cause: "the receiver has the same host name as this client, and so cannot prove that it knows the shared key",
			hint: "give another name in fluentd-self-hostname", config: true, sameName: true}
	}
	return nil
}

// refused explains a PONG that refuses, in words that Fluentd and Fluent Bit use.
func (p proofs) refused(reason string, id identity) *refusal {
	r := &refusal{hint: bothHint}
	says := strings.ToLower(reason)
	isAboutUser := strings.Contains(says, "user") || strings.Contains(says, "password")
	switch {
	case strings.Contains(says, "shared_key"), strings.Contains(says, "shared key"):
		r.hint = keyHint
	case strings.Contains(says, "host") && strings.Contains(says, "denied"):
		r.hint, r.config = "allow this host at the receiver", true
	case p.hello.auth != "" && id.username.IsEmpty() && (isAboutUser || says == ""):
		r.hint, r.config = userHint, true
	case isAboutUser:
		r.hint = "put what it wants into the secrets of fluentd-username and fluentd-password"
	}
	r.cause = "the receiver refuses the handshake"
	if reason = p.words(reason, id); reason != "" {
		r.cause += ": " + reason
	}
	if r.hint == userHint {
		r.cause = "the receiver asks for a user and a password" + strings.TrimPrefix(r.cause, "the receiver refuses the handshake")
	}
	return r
}

const maxReason = 200

// words returns a receiver's reason, short and without secrets, nor the digests that were made of them.
func (p proofs) words(reason string, id identity) string {
	reason = strings.ToValidUTF8(id.redact(reason, p.key, p.user), "?")
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "")
	}
	return fault.OneLine(reason)
}

// digest is the protocol's: SHA-512 of all parts together, in hex.
func digest(parts ...string) string {
	h := sha512.New()
	for _, p := range parts {
		_, _ = io.WriteString(h, p) // never fails
	}
	return hex.EncodeToString(h.Sum(nil))
}
