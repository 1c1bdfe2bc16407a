// Command discard is a log driver that reads and throws away: discard SOCKET. It is what any log plugin costs.
package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
)

func main() {
	l, err := net.Listen("unix", os.Args[1])
	if err != nil {
		panic(err)
	}
	go func() { // it ends with whoever has started it
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = l.Close()
	}()
	http.HandleFunc("/Plugin.Activate", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"Implements":["LogDriver"]}`)
	})
	http.HandleFunc("/LogDriver.StartLogging", func(w http.ResponseWriter, r *http.Request) {
		var call struct{ File string }
		if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
			panic(err)
		}
		f, err := os.Open(call.File)
		if err != nil {
			panic(err)
		}
		go read(f)
		_, _ = io.WriteString(w, `{"Err":""}`)
	})
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"Err":""}`) })
	_ = http.Serve(l, nil)
}

func read(f *os.File) {
	defer f.Close()
	buf := make([]byte, 64<<10)
	for {
		if _, err := f.Read(buf); err != nil {
			return
		}
	}
}
