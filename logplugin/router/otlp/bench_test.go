package otlp

import (
	"maps"
	"net/http"
	"testing"

	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
)

func TestEncoderAllocs(t *testing.T) {
	for _, more := range []map[string]string{nil, {severities: byLevel}, {severities: byLevel, parseJSON: "true"}} {
		options := map[string]string{endpoint: "http://127.0.0.1:1"}
		maps.Copy(options, more)
		routertest.EncoderAllocs(t, Kind(), options, "hello", "bad \xff bytes", "level=warn x",
			`{"level":"WARN","msg":"a\nb","n":1,"f":1.5,"o":{"a":[1,2]},"t":true,"s":"\u00e9"}`)
	}
}

func BenchmarkSend(b *testing.B) {
	accept := func(w http.ResponseWriter) { w.Header().Set("Content-Type", protobufType) }
	routertest.BenchSend(b, Kind(), 5000, accept, []string{"none", router.Gzip, router.Zstd}, func(url, encoding string) map[string]string {
		return map[string]string{endpoint: url, compression: encoding}
	})
}
