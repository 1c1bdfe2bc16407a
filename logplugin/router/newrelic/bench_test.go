package newrelic

import (
	"net/http"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

func TestEncoderAllocs(t *testing.T) {
	for _, parse := range []string{"false", "true"} {
		routertest.EncoderAllocs(t, Kind(), map[string]string{licenseKey: "k", parseJSON: parse}, "hello", "bad \xff bytes",
			`{"level":"WARN","msg":"a\nb","n":1,"o":{"a":[1,2]},"stream":"s"}`)
	}
}

func BenchmarkSend(b *testing.B) {
	accept := func(w http.ResponseWriter) { w.WriteHeader(http.StatusAccepted) }
	routertest.BenchSend(b, Kind(), maxLines, accept, []string{noneEncoding, router.Gzip, router.Zstd}, func(url, encoding string) map[string]string {
		return map[string]string{licenseKey: "k", endpoint: url, compression: encoding}
	})
}
