// Command discard is a log driver that reads and throws away: discard SOCKET. It is what any log plugin costs. With a second argument
// it answers `docker logs`: it keeps what it has read of each container in memory, as the daemon wants it, and sends that in
// writes of 512 KiB. It is the least that `docker logs` of a plugin can cost.
package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"sync"

	"github.com/secretref/secretref/logplugin/frame"
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
	d := driver{keeps: len(os.Args) > 2, kept: map[string][]byte{}}
	http.HandleFunc("/Plugin.Activate", answer(`{"Implements":["LogDriver"]}`))
	http.HandleFunc("/LogDriver.StartLogging", d.start)
	if d.keeps {
		http.HandleFunc("/LogDriver.Capabilities", answer(`{"Cap":{"ReadLogs":true}}`))
		http.HandleFunc("/LogDriver.ReadLogs", d.logs)
	}
	http.HandleFunc("/", answer(`{"Err":""}`))
	_ = http.Serve(l, nil)
}

func answer(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

type driver struct {
	keeps bool
	mu    sync.Mutex
	kept  map[string][]byte // frames with the newlines that `docker logs` shows, by container
}

// call is what the daemon says with StartLogging and with ReadLogs.
type call struct {
	File string
	Info struct{ ContainerID string }
}

func (d *driver) start(w http.ResponseWriter, r *http.Request) {
	var c call
	if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
		panic(err)
	}
	f, err := os.Open(c.File)
	if err != nil {
		panic(err)
	}
	if d.keeps {
		go d.keep(f, c.Info.ContainerID)
	} else {
		go discard(f)
	}
	answer(`{"Err":""}`)(w, r)
}

func discard(f *os.File) {
	defer f.Close()
	buf := make([]byte, 64<<10)
	for {
		if _, err := f.Read(buf); err != nil {
			return
		}
	}
}

func (d *driver) keep(f *os.File, container string) {
	defer f.Close()
	all, err := io.ReadAll(f)
	if err != nil {
		panic(err)
	}
	var out, line []byte
	for len(all) > 0 {
		var e frame.Entry
		n, err := frame.Decode(all, &e)
		if err != nil || n == 0 {
			panic("the daemon has sent something else than frames")
		}
		line = append(append(line[:0], e.Line...), '\n')
		e.Line = line
		out, all = frame.AppendFrame(out, &e), all[n:]
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(out) > 0 { // not of the session that `docker logs` of a container which has ended makes
		d.kept[container] = out
	}
}

func (d *driver) logs(w http.ResponseWriter, r *http.Request) {
	var c call
	if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
		panic(err)
	}
	d.mu.Lock()
	frames := d.kept[c.Info.ContainerID]
	d.mu.Unlock()
	const piece = 512 << 10
	w.WriteHeader(http.StatusOK)
	for len(frames) > 0 {
		n, err := w.Write(frames[:min(piece, len(frames))])
		if err != nil {
			return
		}
		frames = frames[n:]
	}
}
