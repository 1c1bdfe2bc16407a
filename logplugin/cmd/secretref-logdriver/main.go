// Command secretref-logdriver is a Docker log driver whose log router's credentials are given by reference.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/secretref/secretref/logplugin"
	"github.com/secretref/secretref/shared/secret"
)

var version = "dev" // set by the linker

func main() {
	secret.ProtectProcess()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	os.Exit(logplugin.Run(ctx, logplugin.Program{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Environ: os.Environ(), Version: version, Reload: reload,
	}))
}
