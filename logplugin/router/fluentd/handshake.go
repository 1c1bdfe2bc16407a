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

	"github.com/secretref/secretref/shared/fault"
	"github.com/secretref/secretref/shared/secret"
)

// identity is what a client proves in a handshake.
type identity struct {
	hostname string
	key      secret.Value
	username secret.Value
	password secret.Value
}

// refusal is a handshake that ended for another reason than the network.
type refusal struct {
	cause string
	hint  string
	// config tells that another credential would not help.
	config bool
}

func (r *refusal) Error() string { return r.cause }

const keyHint = "put the receiver's key into the secret of fluentd-shared-key"

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

// shake does the handshake on a connection whose deadlines are set. An error of another type than *refusal is the
// network's.
func shake(c net.Conn, r *bufio.Reader, id identity) (hello, error) {
	first, err := readValue(r, 0)
	if err != nil {
		return hello{}, fmt.Errorf("read HELO: %w", err)
	}
	h, err := parseHello(first)
	if err != nil {
		return h, err
	}
	if h.auth != "" && id.username.IsEmpty() {
		return h, &refusal{cause: "the receiver asks for a user and a password", hint: "set fluentd-username and fluentd-password", config: true}
	}
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	salt := hex.EncodeToString(random[:])
	ping := appendStr(appendArray(nil, 6), "PING")
	ping = appendStr(ping, id.hostname)
	ping = appendStr(ping, salt) // of printable characters and as str: Fluent Bit takes no bin
	ping = appendStr(ping, digest(salt, id.hostname, h.nonce, id.key.Reveal()))
	if h.auth != "" {
		ping = appendStr(ping, id.username.Reveal())
		ping = appendStr(ping, digest(h.auth, id.username.Reveal(), id.password.Reveal()))
	} else {
		ping = appendStr(appendStr(ping, ""), "")
	}
	if _, err := c.Write(ping); err != nil {
		return h, fmt.Errorf("send PING: %w", err)
	}
	answer, err := readValue(r, 0)
	if errors.Is(err, io.EOF) || isReset(err) {
		// Fluent Bit closes without a word when the key is wrong.
		return h, &refusal{cause: "the receiver closed the connection at the handshake", hint: keyHint}
	}
	if err != nil {
		return h, fmt.Errorf("read PONG: %w", err)
	}
	return h, checkPong(answer, salt, h.nonce, id)
}

// checkPong also makes sure that the receiver knows the key: lines go to nobody else.
func checkPong(v any, salt, nonce string, id identity) error {
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
		return &refusal{cause: "the receiver refuses the handshake: " + words(reason, id),
			hint: "put what it wants into the secrets of fluentd-shared-key, fluentd-username and fluentd-password"}
	case subtle.ConstantTimeCompare([]byte(proof), []byte(digest(salt, hostname, nonce, id.key.Reveal()))) != 1:
		return &refusal{cause: "the receiver does not know the shared key", hint: keyHint}
	}
	return nil
}

// words is a receiver's reason, short and without what it may have learned elsewhere.
func words(reason string, id identity) string {
	for _, v := range []secret.Value{id.key, id.password} {
		if !v.IsEmpty() {
			reason = strings.ReplaceAll(reason, v.Reveal(), "[redacted]")
		}
	}
	if len(reason) > 200 {
		reason = reason[:200]
	}
	return fault.OneLine(strings.ToValidUTF8(reason, "?"))
}

// digest is the protocol's: SHA-512 of all parts together, in hex.
func digest(parts ...string) string {
	h := sha512.New()
	for _, p := range parts {
		_, _ = io.WriteString(h, p) // never fails
	}
	return hex.EncodeToString(h.Sum(nil))
}
