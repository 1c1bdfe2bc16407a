package logplugin

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/secretref/secretref/logplugin/router/routertest"
)

// silentTargets are those of the routers and of the outputs of FireLens whose receivers acknowledge nothing: as targets, without a credential.
func silentTargets() map[string]func() target {
	all := map[string]func() target{
		"null": nullTarget("null", map[string]string{"logDriver": "null"}), "awsfirelens null": nullTarget("null of FireLens", map[string]string{"logDriver": "awsfirelens", "Name": "null"}),
	}
	for name, of := range map[string]string{
		"syslog": "syslog tcp", "gelf": "gelf tcp", "tcp": "tcp", "awsfirelens syslog": "FireLens syslog tcp", "awsfirelens gelf": "FireLens gelf tcp", "awsfirelens tcp": "FireLens tcp",
	} {
		for _, x := range slices.Concat(socketTargets(), fireLensSockets()) {
			if x.name == of {
				all[name] = x.target
			}
		}
	}
	return all
}

// target is x with a receiver over TCP.
func (x socketTarget) target() target {
	s, err := routertest.ListenSocket(x.server)
	if err != nil {
		panic(err)
	}
	return target{
		name: x.name, url: "tcp://" + s.Address(), options: x.optionsFor(s.Address()), asks: true, apart: x.options["raw_message_key"] != "",
		lines: func(from int) (lines []string) {
			for _, m := range s.Messages()[from:] {
				line, _ := messageLine(m)
				lines = append(lines, line)
			}
			return lines
		},
		away: func(is bool) {
			if is {
				s.SetFault(routertest.SocketAway)
			} else {
				s.SetFault(routertest.SocketWell)
			}
		},
		tries: s.Accepted,
		close: s.Close,
	}
}

// optionsFor are the options of x for a receiver at the address.
func (x socketTarget) optionsFor(address string) map[string]string {
	options := map[string]string{}
	host, port, _ := strings.Cut(address, ":")
	for name, value := range x.options {
		options[name] = strings.NewReplacer("ADDRESS", address, "HOST", host, "PORT", port).Replace(value)
	}
	return options
}

// messageLine is the line that is in a message, and whether the message is whole: one that was cut by the end of a connection is not. A
// line that stands alone cannot be told from its beginning.
func messageLine(m []byte) (line string, whole bool) {
	text := strings.TrimSuffix(string(m), "\n")
	switch {
	case strings.HasPrefix(text, "{"):
		var record struct {
			Log   string
			Short string `json:"short_message"`
		}
		err := json.Unmarshal(m, &record)
		return record.Log + record.Short, err == nil
	case strings.HasPrefix(text, "<"): // of syslog
		const before = " - " // the line: there are no structured data
		i := strings.LastIndex(text, before)
		if i < 0 {
			return "", false
		}
		return strings.TrimPrefix(text[i+len(before):], "\ufeff"), true
	}
	return text, true
}

// nullTarget makes a target that takes lines and shows them to nobody.
func nullTarget(name string, options map[string]string) func() target {
	return func() target { return target{name: name, options: options, close: func() {}} }
}
