package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/secretref/secretref/shared/rig"
)

// collector is the leanest collector of log files that is known to us.
const collector = "vlagent"

// startCollector starts it on the files of json-file. What it has read before is forgotten.
func (w *world) startCollector(ctx context.Context) (*process, error) {
	program, err := rig.Tool(collector)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	dir := w.path("vlagent")
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	p, err := start(w.path("vlagent.log"), rig.Env(w.dir), program, "-httpListenAddr="+address, "-loggerLevel=WARN", "-tmpDataPath="+dir,
		"-remoteWrite.url="+w.http("victorialogs/insert/native"), "-fileCollector.glob="+w.dockerd.Dir()+"/data/containers/*/*-json.log", "-fileCollector.refreshInterval=1s")
	if err != nil {
		return nil, err
	}
	return p, until(ctx, 10*time.Second, "vlagent", func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/health", nil)
		if err != nil {
			return err
		}
		res, err := w.client.Do(req)
		if err != nil {
			return err
		}
		return res.Body.Close()
	})
}
