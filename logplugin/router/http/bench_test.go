package http

import (
	"net/http"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

func TestEncoderAllocs(t *testing.T) {
	for _, parse := range []string{"false", "true"} {
		routertest.EncoderAllocs(t, Kind(nil), map[string]string{address: "http://127.0.0.1:1", parseJSON: parse}, "hello", "bad \xff bytes",
			`{"level":"WARN","msg":"a\nb","n":1,"o":{"a":[1,2]},"host":"s"}`)
	}
}

func BenchmarkSend(b *testing.B) {
	accept := func(http.ResponseWriter) {}
	routertest.BenchSend(b, Kind(nil), maxLines, accept, []string{noneEncoding, router.Gzip, router.Zstd}, func(url, encoding string) map[string]string {
		return map[string]string{address: url, compress: encoding}
	})
}
