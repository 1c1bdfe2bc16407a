package forwardtest

import (
	"bufio"
	"crypto/rand"
	"errors"
	"io"
	"net"
)

// Script replaces what a receiver says, for tests of what a peer may say. A nil function leaves that part as it is.
type Script struct {
	Hello func(w io.Writer)               // in place of HELO, also when no shared key is set
	Pong  func(w io.Writer)               // in place of PONG
	Ack   func(w io.Writer, chunk string) // in place of an acknowledgement, after each message
}

// SetScript sets what is said on new connections.
func (s *Server) SetScript(script Script) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = script
}

func (s *Server) scripted() Script {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.script
}

var errRefused = errors.New("refused")

// ping is the client's answer to HELO, each part as str or bin.
type ping struct{ host, salt, proof, user, password any }

// greet does the handshake.
func (s *Server) greet(c net.Conn, r *bufio.Reader, o Options, script Script) error {
	var random [32]byte
	_, _ = rand.Read(random[:])
	nonce, auth := string(random[:16]), string(random[16:])
	if err := hello(c, o, script, nonce, &auth); err != nil {
		return err
	}
	p, err := readPing(r, o)
	if err != nil {
		return err
	}
	host, salt := text(p.host), text(p.salt)
	reason := ""
	if text(p.proof) != sum(salt, host, nonce, o.SharedKey) {
		if o.FluentBit {
			return errRefused // without a PONG
		}
		reason = "shared_key mismatch"
	} else if want, ok := o.Users[text(p.user)]; len(o.Users) > 0 && (!ok || text(p.password) != sum(auth, text(p.user), want)) {
		reason = "username/password mismatch"
	}
	if script.Pong != nil {
		script.Pong(c)
		return nil
	}
	name, key := "server", o.SharedKey
	if _, f := s.now(); f == WrongProof {
		key = "guess"
	}
	proof := sum(salt, name, nonce, key)
	if reason != "" && o.FluentBit {
		name, proof = "", ""
	}
	if _, err := c.Write(Encode([]any{Str("PONG"), reason == "", Str(reason), Str(name), Str(proof)})); err != nil || reason != "" {
		return errRefused
	}
	return nil
}

// hello sends HELO. Fluentd asks for a user only when it has any: auth is empty then. Fluent Bit always sends a salt, raw
// bytes as str.
func hello(w io.Writer, o Options, script Script, nonce string, auth *string) error {
	if script.Hello != nil {
		script.Hello(w)
		return nil
	}
	options := []Pair{{Str("nonce"), Str(nonce)}, {Str("auth"), Str(*auth)}}
	if !o.FluentBit {
		if o.Users == nil {
			*auth = ""
		}
		options = []Pair{{Str("nonce"), Bin(nonce)}, {Str("auth"), Bin(*auth)}, {Str("keepalive"), !o.NoKeepalive}}
	}
	_, err := w.Write(Encode([]any{Str("HELO"), options}))
	return err
}

// Fluent Bit reads PING at once, into a buffer of 1,024 bytes.
const maxFluentBitPing = 1023

func readPing(r *bufio.Reader, o Options) (ping, error) {
	if o.FluentBit {
		if _, err := r.Peek(1); err != nil {
			return ping{}, err
		}
		if r.Buffered() > maxFluentBitPing {
			return ping{}, errors.New("handshake error expecting PING")
		}
	}
	v, err := Decode(r)
	if err != nil {
		return ping{}, err
	}
	m, _ := v.([]any)
	if len(m) != 6 || m[0] != Str("PING") {
		return ping{}, errors.New("no PING")
	}
	if o.FluentBit {
		for _, part := range m {
			if _, ok := part.(Str); !ok {
				return ping{}, errors.New("invalid type in PING")
			}
		}
	}
	return ping{m[1], m[2], m[3], m[4], m[5]}, nil
}
