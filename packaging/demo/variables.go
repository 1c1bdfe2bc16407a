package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"

	"github.com/secretref/secretref/shared/rig"
)

// addRuntime makes what stands in runtimes of daemon.json, and returns the daemon's options for it: the socket of the driver is one of
// this story, so there is a script between, as the daemon makes one for runtimeArgs.
func (h *host) addRuntime() ([]string, error) {
	path := h.dir + "/etc/runtime"
	script := "#!/bin/sh\nexec " + h.dir + "/bin/secretref-runtime --socket " + h.logs.runtimeSocket(h) + " \"$@\"\n"
	return []string{"--add-runtime", "secretref=" + path}, os.WriteFile(path, []byte(script), 0o700) //nolint:gosec // it is to be run
}

func (l *logs) runtimeSocket(h *host) string { return h.dir + "/run/resolve.sock" }

func variable(ctx context.Context, h *host) error {
	reference := h.logs.files.password + ":password::"
	err := h.sh(ctx, command{line: "docker run --detach --name app --network none --log-driver json-file --runtime secretref -e secrets.DB_PASSWORD=" + reference + " watcher"})
	if err != nil {
		return err
	}
	hash := fmt.Sprintf("%x", sha256.Sum256([]byte(h.newFile.Value())))
	err = h.await(ctx, "the application has its variable", func() (bool, error) {
		r, err := rig.Cmd{Args: []string{"docker", "logs", "app"}, Env: h.env()}.Run(ctx)
		return r.Stdout == "variable DB_PASSWORD, SHA-256 "+hash+"\n", err
	})
	if err != nil {
		return err
	}
	return h.sh(ctx,
		command{line: "docker logs app", want: []string{hash}},
		command{line: "docker exec app /app -once", want: []string{hash}},
		command{line: "docker inspect --format '{{json .Config.Env}}' app", want: []string{"secrets.DB_PASSWORD=" + reference}},
		command{line: "secretref-logdriver status --config etc/logs.toml | grep -A1 VARIABLES", want: []string{reference}},
		command{line: "docker rm --force app"},
	)
}
