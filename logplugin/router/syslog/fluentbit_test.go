package syslog

import (
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

func TestFluentBit(t *testing.T) {
	const time = "2026-11-23T10:00:00.123456Z"
	for settings, want := range map[string]string{
		"output=syslog": "<14>1 " + time + " - - - - - \ufeffa#012<b\n",
		"output=syslog,hostname=h 1,appname=w\u00e9b,procid=7,msgid=m": "<14>1 " + time + " h_1 w_b 7 m - \ufeffa#012<b\n",
		"output=syslog,severity=3,facility=16,syslog_format=rfc3164":   "<131>Nov 23 10:00:00 a#012<b\n",
		"output=syslog,syslog_format=rfc3164,hostname=h,procid=7":      "<14>Nov 23 10:00:00 h a#012<b\n",
		"output=syslog,syslog_format=rfc3164,appname=w,procid=7":       "<14>Nov 23 10:00:00 w[7]: a#012<b\n",
		"output=syslog,maxsize=49":                                     "<14>1 " + time + " - - - - - \ufeffa#\n",
		"output=syslog,maxsize=46":                                     "<14>1 " + time + " - - - - - \n",
	} {
		e := encoder(t, routertest.Session("web"), map[string]string{fluentOption: settings})
		if got := string(e.AppendRecord(nil, &router.Record{TimeNano: 1795428000_123456789, Source: []byte("stderr"), Line: []byte("a\n<b")})); got != want {
			t.Errorf("%s: %q, want %q", settings, got, want)
		}
	}
	for settings, want := range map[string]string{
		"severity=8": "severity is not a number from 0 to 7", "facility=x": "facility is not a number", "syslog_format=x": "not one of rfc5424", "x=y": "there is no setting",
	} {
		if _, err := Parse(router.Options{Plain: map[string]string{fluentOption: settings}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", settings, err, want)
		}
	}
	routertest.EncoderAllocs(t, Kind(), map[string]string{fluentOption: "output=syslog"}, "hello", "bad \xff bytes", strings.Repeat("x", 4000))
}

const fluentOption = "syslog-fluent-bit"
