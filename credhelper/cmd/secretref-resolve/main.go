// Command secretref-resolve is the part of docker-credential-secretref that asks AWS. It takes the same commands;
// docker-credential-secretref runs it when its cache has no answer. It is not for use by hand.
package main

import (
	"context"
	"os"

	"github.com/secretref/secretref/credhelper"
	"github.com/secretref/secretref/credhelper/fetch"
	"github.com/secretref/secretref/shared/config"
	"github.com/secretref/secretref/shared/secret"
)

var version = "dev" // set by the linker

func main() {
	secret.ProtectProcess()
	stdin, stderr := os.Stdin, os.Stderr
	// The SDK hands its own standard streams to a credential_process, which may say what it likes: ours belong to the
	// client.
	if null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0); err == nil {
		os.Stdin, os.Stderr = null, null
	}
	os.Exit(credhelper.Run(context.Background(), credhelper.Program{
		Args: os.Args[1:], Stdin: stdin, Stdout: os.Stdout, Stderr: stderr,
		Getenv: os.Getenv, Version: version,
		NewFetcher: func(cfg *config.Config) credhelper.Fetcher { return fetch.New(cfg, version, os.Getenv) },
	}))
}
