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
	os.Exit(credhelper.Run(context.Background(), credhelper.Program{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Getenv: os.Getenv, Version: version,
		NewFetcher: func(cfg *config.Config) credhelper.Fetcher { return fetch.New(cfg, version) },
	}))
}
