package logdna

import (
	"net/http"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

func TestEncoderAllocs(t *testing.T) {
	for _, settings := range []string{"", "output=logdna"} {
		options := map[string]string{apiKey: "k"}
		if settings != "" {
			options["logdna-fluent-bit"] = settings
		}
		routertest.EncoderAllocs(t, Kind(), options, "hello", "bad \xff bytes", `{"level":"WARN"}`)
	}
}

func BenchmarkSend(b *testing.B) {
	accept := func(http.ResponseWriter) {}
	routertest.BenchSend(b, Kind(), 5000, accept, []string{noneEncoding, router.Gzip}, func(url, encoding string) map[string]string {
		return map[string]string{apiKey: "k", address: url, compress: encoding}
	})
}
