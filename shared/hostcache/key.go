package hostcache

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"os"
	"strings"
)

const (
	groupLen = 16 // hex digits
	idLen    = 32
)

// Key says which answer is meant. Make it with NewKey; any other is a key under which nothing is ever found or kept.
type Key struct {
	Group string // 16 hex digits: which reference it is
	ID    string // 32 hex digits: everything that decides the answer, the caller's euid included
}

// NewKey makes a Key from group, the parts that name the reference, and rest, all else that decides the answer. The
// boundaries between parts count: "a", "bc" is not "ab", "c".
func NewKey(group, rest []string) Key {
	uid := binary.AppendUvarint(nil, uint64(os.Geteuid())) //nolint:gosec // a uid is not negative on Linux
	return Key{
		Group: digest(groupLen, group),
		ID:    digest(idLen, group, rest, []string{string(uid)}),
	}
}

// digest hashes lists of texts, each list and each text behind its length, to n hex digits.
func digest(n int, lists ...[]string) string {
	var b []byte
	for _, list := range lists {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, s := range list {
			b = appendText(b, s)
		}
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:n/2])
}

func (k Key) valid() bool { return isHex(k.Group, groupLen) && isHex(k.ID, idLen) }

// name is the entry's file name. The group is in it so that EraseGroup needs no index.
func (k Key) name() string { return k.Group + "-" + k.ID }

// idOf returns the ID in an entry's name, or "" when it is not the name of an entry.
func idOf(name string) string {
	group, id, _ := strings.Cut(name, "-")
	if !isHex(group, groupLen) || !isHex(id, idLen) {
		return ""
	}
	return id
}

func isHex(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdef") == ""
}
