package firelens

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/secretref/secretref/logplugin/fluentbit"
)

// socketTLS are the TLS options of the routers syslog and gelf.
func socketTLS(prefix string) tlsOptions {
	return tlsOptions{
		ca: prefix + "-tls-ca-cert", cert: prefix + "-tls-cert", key: prefix + "-tls-key",
		serverName: prefix + "-tls-server-name", skipVerify: prefix + "-tls-skip-verify",
	}
}

func syslogOutput() output {
	const preset = "it would differ from line to line; give its preset"
	return output{
		names: []string{"syslog"}, router: "syslog", tls: socketTLS("syslog"), build: buildSyslog,
		options: []option{
			{name: "mode"}, {name: "syslog_format"}, {name: "syslog_maxsize"}, {name: "syslog_severity_preset"}, {name: "syslog_facility_preset"},
			{name: "syslog_severity_key", form: refused, why: preset}, {name: "syslog_facility_key", form: refused, why: preset},
			{name: "syslog_hostname_key"}, {name: "syslog_hostname_preset"}, {name: "syslog_appname_key"}, {name: "syslog_appname_preset"},
			{name: "syslog_procid_key"}, {name: "syslog_procid_preset"}, {name: "syslog_msgid_key"}, {name: "syslog_msgid_preset"},
			{name: "syslog_message_key"}, {name: "syslog_sd_key", form: ignored, why: "a record has no members that have members"}, {name: "allow_longer_sd_id", form: ignored},
		},
	}
}

func buildSyslog(t *translation) {
	t.setting(fluentbit.Output, "syslog")
	t.socket("syslog-address", "514")
	t.set("syslog-framing", "lf")
	t.setting("syslog_format", t.oneOf("syslog_format", "rfc5424", "rfc3164"))
	for _, setting := range []string{"severity", "facility"} {
		name := "syslog_" + setting + "_preset"
		if value := t.text(name, ""); value != "" && !isNumber(value) {
			t.fail("%s is %q, which is not a number", t.find(name).key, value)
		} else if value != "" {
			t.setting(setting, value)
		}
	}
	for _, name := range []string{"hostname", "appname", "procid", "msgid"} {
		t.setting(name, t.keyOrPreset("syslog_"+name))
	}
	if size, ok := sizeOf(t.text("syslog_maxsize", "0")); !ok {
		t.fail("syslog_maxsize is %q; write a number of bytes, such as 8192 or 8k", t.text("syslog_maxsize", ""))
	} else if size > 0 {
		t.setting("maxsize", strconv.FormatInt(size, 10))
	}
	if !t.has("syslog_message_key") {
		t.note("syslog_message_key is not given and is log, the line; Fluent Bit would send empty messages")
	}
	t.lineAlone("syslog_message_key")
}

// keyOrPreset gives the template of a part of a message that comes from a member of the record, NAME_key, or where the record has none from
// NAME_preset.
func (t *translation) keyOrPreset(name string) string {
	preset := ""
	if e := t.find(name + "_preset"); e != nil {
		preset = t.expand(*e, true)
	}
	return t.member(name+"_key", preset)
}

// member gives the template of the member that an option names, or def, which may be a template, where the record has none.
func (t *translation) member(option, def string) string {
	key := strings.TrimPrefix(t.text(option, ""), "$")
	known := t.members()
	switch with, ok := known[key]; {
	case key == "":
		return def
	case key == fluentbit.Source || key == fluentbit.Log:
		t.fail("%s is %s, which differs from line to line; give another member, or a text in place of it", t.find(option).key, key)
		return ""
	case ok:
		return with
	case def == "":
		return labelOf(key)
	}
	return fmt.Sprintf("{{with index .ContainerLabels %q}}{{.}}{{else}}%s{{end}}", key, def)
}

// sizeOf reads a size as Fluent Bit does: a number, which may have K, M or G behind it.
func sizeOf(text string) (n int64, ok bool) {
	text = strings.TrimSuffix(strings.ToLower(text), "b")
	digits := strings.TrimRight(text, "kmg")
	unit, known := map[string]int64{"": 1, "k": 1000, "m": 1000 * 1000, "g": 1000 * 1000 * 1000}[text[len(digits):]]
	n, err := strconv.ParseInt(digits, 10, 32)
	return n * unit, known && err == nil && n >= 0
}

// socket gives the address of an output whose mode is udp, tcp or tls.
func (t *translation) socket(to, port string) {
	mode := t.oneOf("mode", "udp", "tcp", "tls")
	if mode == "udp" && t.tls {
		t.fail("tls is on and Mode is udp, which has no TLS; write Mode=tls")
		return
	}
	scheme := mode
	if t.tls {
		scheme = "tcp+tls"
	}
	t.set(to, t.address(scheme, scheme, "127.0.0.1", port))
}

func gelfOutput() output {
	return output{
		names: []string{"gelf"}, router: "gelf", tls: socketTLS("gelf"), build: buildGELF,
		options: append(gelfKeys(), option{name: "mode"}, option{name: "gelf_tag_key"}, option{name: "compress"},
			option{name: "packet_size", form: ignored, why: "datagrams have at most 1,420 bytes"}),
	}
}

// gelfKeys are the options that name the members which are parts of a message of GELF.
func gelfKeys() []option {
	return []option{{name: "gelf_short_message_key"}, {name: fluentbit.GELFHost}, {name: fluentbit.GELFFull}, {name: fluentbit.GELFLevel}, {name: fluentbit.GELFTimestamp}}
}

// gelfKeys gives them as settings. The line is the short message: there is no other member that differs from line to line.
func (t *translation) gelfKeys() {
	if !t.has("gelf_short_message_key") {
		t.note("gelf_short_message_key is not given and is log, the line; Fluent Bit would send nothing")
	}
	t.lineAlone("gelf_short_message_key")
	for _, name := range fluentbit.GELFSettings() {
		switch key := strings.TrimPrefix(t.text(name, ""), "$"); {
		case key == fluentbit.Log:
			t.fail("%s is %s, which is the short message; name another member", t.find(name).key, key)
		case key == fluentbit.Source && name == fluentbit.GELFHost, key == fluentbit.Source && name == fluentbit.GELFTimestamp:
			t.fail("%s is %s, which is stdout or stderr; name another member, such as container_name", t.find(name).key, key)
		default:
			t.setting(name, key)
		}
	}
}

func buildGELF(t *translation) {
	t.setting(fluentbit.Output, "gelf")
	t.socket("gelf-address", "12201")
	t.gelfKeys()
	if compressed := t.is("compress", true); strings.HasPrefix(t.plain["gelf-address"], "udp:") && !compressed {
		t.set("gelf-compression-type", "none")
	}
}
