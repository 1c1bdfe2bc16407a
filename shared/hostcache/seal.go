package hostcache

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
)

const (
	format   = 1 // the first byte of a file
	keySize  = 32
	overhead = 1 + 12 + 16 // format, nonce, tag

	// maxPlain bounds what is written and what is read. A secret has at most 64 KiB; the rest is room for what may be made of it.
	maxPlain = 256 << 10
)

var (
	errSize  = errors.New("the value is too large for the cache")
	errEnded = errors.New("the value may not be kept: its window has ended")
)

// seal encrypts plain for the entry of that name under a key that was never used before. The name is authenticated,
// so that a file put in another's place does not open.
func seal(plain []byte, name string) (sealed []byte, key [keySize]byte, err error) {
	rand.Read(key[:])
	g, err := newGCM(key[:])
	if err != nil {
		return nil, key, err
	}
	sealed = make([]byte, 1, len(plain)+overhead)
	sealed[0] = format
	return g.Seal(sealed, nil, plain, []byte(name)), key, nil
}

// unseal opens what seal made. A wrong key, another name or a single changed bit is an error.
func unseal(sealed []byte, name string, key []byte) ([]byte, error) {
	if len(sealed) < overhead || sealed[0] != format {
		return nil, errEntry
	}
	g, err := newGCM(key)
	if err != nil {
		return nil, err
	}
	return g.Open(nil, nil, sealed[1:], []byte(name))
}

// newGCM puts a random nonce in front of what it seals. The key is used once, so any nonce would do; this needs no argument.
func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// read returns the entry for k that is good now. Whatever is wrong with file or key is a miss: no file, a file of
// another's, a key that has expired, a key of a newer file, a start of the host in between.
func (c *Cache) read(k Key) (entry, bool) {
	if !c.works(k) {
		return entry{}, false
	}
	sealed, err := c.dir.readFile(k.name())
	if err != nil {
		return entry{}, false
	}
	var key [keySize]byte
	if !readKey(k.ID, &key) {
		return entry{}, false
	}
	plain, err := unseal(sealed, k.name(), key[:])
	clear(key[:])
	if err != nil {
		return entry{}, false
	}
	e, err := parseEntry(plain)
	clear(plain)
	if err != nil {
		return entry{}, false
	}
	now, age := c.now(), c.boot()-e.boot
	if age < 0 {
		return entry{}, false // of an earlier start of the host
	}
	// The wall clock may have been set since. The entry is as old as the other clock says.
	e.shift(now.Sub(e.recorded) - age)
	return e, now.Before(e.window.End)
}

// store writes e: first the file under a name of its own, then the key, then the file's name. Who reads in between finds
// a file and a key that do not fit, a miss, and waits for the lock.
func (c *Cache) store(t *ticket, k Key, e *entry) error {
	life := e.window.End.Sub(c.now())
	if life <= 0 {
		return errEnded
	}
	e.boot = c.boot() - c.now().Sub(e.recorded)
	plain := e.appendTo(make([]byte, 0, 4096))
	defer clear(plain)
	if len(plain) > maxPlain {
		return errSize
	}
	sealed, key, err := seal(plain, k.name())
	if err != nil {
		return err
	}
	defer clear(key[:])
	temp, err := c.dir.writeTemp(sealed)
	if err != nil {
		return err
	}
	serial, err := putKey(k.ID, key[:], life)
	if err != nil {
		c.dir.unlink(temp)
		return err
	}
	if err := c.dir.rename(temp, k.name()); err != nil {
		c.dir.unlink(temp)
		invalidate(serial)
		return err
	}
	if !t.linked() {
		invalidate(serial) // erased while we fetched: the value must not come back
		return nil
	}
	c.sweep()
	return nil
}
