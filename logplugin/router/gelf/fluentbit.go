package gelf

import (
	"github.com/secretref/secretref/logplugin/fluentbit"
	"github.com/secretref/secretref/logplugin/router"
)

// settingsOf reads gelf-fluent-bit; nil means that it is not given. Faults are in v.
func settingsOf(v *router.Values) fluentbit.Settings {
	return fluentbit.Read(v, "gelf", fluentbit.GELFSettings()...)
}

// maxFluent is how long a line may be in JSON: it is more than any that a session gives.
const maxFluent = 64 << 20

// FluentEncoder writes records of one session as the output gelf of Fluent Bit does.
type FluentEncoder struct{ message *fluentbit.GELF }

var _ router.Encoder = FluentEncoder{}

// AppendRecord implements router.Encoder.
func (e FluentEncoder) AppendRecord(dst []byte, r *router.Record) []byte {
	return append(e.message.AppendGELF(dst, r), 0)
}
