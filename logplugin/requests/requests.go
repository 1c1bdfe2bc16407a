// Package requests keeps who has asked for secrets of late, and what went wrong, for status and metrics. The zero Table is ready to use.
package requests

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxKnown is of how many names the latest request is kept; the one that was asked for longest ago goes first.
const maxKnown = 1000

// recent is for how long a refusal is a reason to look. Who waits for a secret asks again within seconds.
const recent = 10 * time.Minute

// Status is what `status` shows of the latest request for one name.
type Status struct {
	Name       string    `json:"name"`
	References []string  `json:"references,omitempty"`
	Asked      time.Time `json:"asked"`
	LastError  string    `json:"lastError,omitempty"` // of that request; "" means that it was given
}

// Table has the latest request for each name. It is safe for concurrent use.
type Table struct {
	mu             sync.Mutex
	known          map[string]Status
	given, refused int64
}

// Note keeps a request that was answered.
func (t *Table) Note(s Status) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.LastError == "" {
		t.given++
	} else {
		t.refused++
	}
	if t.known == nil {
		t.known = map[string]Status{}
	}
	if _, known := t.known[s.Name]; !known && len(t.known) >= maxKnown {
		delete(t.known, slices.MinFunc(slices.Collect(maps.Values(t.known)), func(a, b Status) int { return a.Asked.Compare(b.Asked) }).Name)
	}
	t.known[s.Name] = s
}

// Status returns the latest request for each name since the start, by name.
func (t *Table) Status() []Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.SortedFunc(maps.Values(t.known), func(a, b Status) int { return strings.Compare(a.Name, b.Name) })
}

// Requests returns how many requests were answered with values, and how many with an error, since the start.
func (t *Table) Requests() (given, refused int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.given, t.refused
}

// Refused returns one line for each name whose latest request was refused a short time ago. format has the name and the error.
func (t *Table) Refused(format string) []string {
	var lines []string
	for _, s := range t.Status() {
		if s.LastError != "" && time.Since(s.Asked) < recent {
			lines = append(lines, fmt.Sprintf(format, s.Name, s.LastError))
		}
	}
	return lines
}
