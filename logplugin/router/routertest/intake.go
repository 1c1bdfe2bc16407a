package routertest

import (
	"net/http"
	"slices"
	"sync"
)

// IntakeOptions say what kind of intake it is. The zero value takes every key and every line.
type IntakeOptions struct {
	ReceiverOptions                        // all but Handle
	Keys            []string               // good keys; nil means that every one is
	Reject          func(line string) bool // lines for which a request is refused; nil means that there are none
}

// Intake is a Receiver that looks at keys, and keeps what it has accepted, each of it a T.
type Intake[T any] struct {
	*Receiver

	mu      sync.Mutex
	options IntakeOptions
	taken   []T
}

// StartIntake starts one on a port of the loopback address. take answers a request, one at a time: it may call Good, Rejects and Keep.
func StartIntake[T any](o IntakeOptions, take func(w http.ResponseWriter, r *http.Request, body []byte)) *Intake[T] {
	i := &Intake[T]{options: o}
	o.Handle = func(w http.ResponseWriter, r *http.Request, body []byte) {
		i.mu.Lock()
		defer i.mu.Unlock()
		take(w, r, body)
	}
	i.Receiver = StartReceiver(o.ReceiverOptions)
	return i
}

// SetKeys makes these the only good keys.
func (i *Intake[T]) SetKeys(keys ...string) {
	i.mu.Lock()
	i.options.Keys = keys
	i.mu.Unlock()
}

// Taken returns what was accepted, in order.
func (i *Intake[T]) Taken() []T {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.taken)
}

// Good reports whether the key is one that is taken.
func (i *Intake[T]) Good(key string) bool {
	return i.options.Keys == nil || slices.Contains(i.options.Keys, key)
}

// Rejects reports whether a request with the line is refused.
func (i *Intake[T]) Rejects(line string) bool {
	return i.options.Reject != nil && i.options.Reject(line)
}

// Keep accepts all.
func (i *Intake[T]) Keep(all ...T) { i.taken = append(i.taken, all...) }
