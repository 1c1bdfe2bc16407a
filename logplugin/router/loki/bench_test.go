package loki

import (
	"maps"
	"net/http"
	"testing"

	"github.com/secretref/secretref/logplugin/router/routertest"
)

func TestEncoderAllocs(t *testing.T) {
	for _, more := range encodings {
		options := map[string]string{"loki-url": "http://127.0.0.1:1"}
		maps.Copy(options, more)
		routertest.EncoderAllocs(t, Kind(), options, "hello", "bad \xff bytes", "\"\n")
	}
}

func BenchmarkSend(b *testing.B) {
	accept := func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) }
	routertest.BenchSend(b, Kind(), 5000, accept, []string{encodingProtobuf, encodingJSON}, func(url, encoding string) map[string]string {
		return map[string]string{"loki-url": url, "loki-encoding": encoding}
	})
}
