package routertest

import (
	"io"
	"net"
	"net/http"
	"sync"
)

// TunnelTo is an HTTP proxy whose tunnels all lead to one address, HOST:PORT.
func TunnelTo(address string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		back, err := new(net.Dialer).DialContext(r.Context(), "tcp", address)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer back.Close()
		front, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer front.Close()
		_, _ = io.WriteString(front, "HTTP/1.1 200 OK\r\n\r\n")
		var there sync.WaitGroup
		there.Go(func() {
			_, _ = io.Copy(back, buffered)
			_ = back.Close()
		})
		_, _ = io.Copy(front, back)
		_ = front.Close()
		there.Wait()
	}
}
