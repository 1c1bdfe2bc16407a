package control

import (
	"fmt"

	"github.com/secretref/secretref/logplugin/session"
	"github.com/secretref/secretref/logplugin/spool"
	"github.com/secretref/secretref/shared/fault"
)

// Attention returns why a person should look at these sessions, one line for each reason; none if all is well.
func Attention(all []session.Status) (reasons []string) {
	var parked, failing, memory group
	for _, s := range all {
		switch {
		case s.State == session.Parked:
			parked.add(s)
		case s.LastError != "":
			failing.add(s)
		case s.Mode == spool.Memory:
			memory.add(s)
		}
	}
	add := func(g group, what, why string) {
		if g.n > 0 {
			reasons = append(reasons, fmt.Sprintf("%d %s, the first of container %s: %s", g.n, what, name(g.first), why))
		}
	}
	add(parked, "parked sessions", fault.OneLine(parked.first.LastError))
	add(failing, "sessions with an error", fault.OneLine(failing.first.LastError))
	add(memory, "sessions in memory", "the disk takes no lines")
	return reasons
}

// group is sessions with one reason.
type group struct {
	n     int
	first session.Status
}

func (g *group) add(s session.Status) {
	if g.n == 0 {
		g.first = s
	}
	g.n++
}

// name is how people call a session's container.
func name(s session.Status) string {
	if s.ContainerName != "" {
		return s.ContainerName
	}
	return s.ContainerID[:min(len(s.ContainerID), 12)]
}
