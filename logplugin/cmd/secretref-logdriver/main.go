// Command secretref-logdriver is a Docker log driver whose log router's credentials are given by reference.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
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
		Opened: sync.OnceFunc(limit),
	}))
}

// limit comes after a start, for which containers wait, where the runtime's own variables leave it to us. From then on the driver works
// in short pieces: with few processors it seldom wakes a thread for one, which costs as much as many lines, and it leaves the others to
// the containers. It makes hardly any garbage while it sends lines: with half of Go's default, what a thousand containers leave behind
// when they start does not stay.
func limit() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(processors(runtime.GOMAXPROCS(0)))
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
}

// processors returns how many the driver takes of those of the host.
func processors(host int) int { return max(1, host/4) }
