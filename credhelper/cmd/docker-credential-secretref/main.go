// Command docker-credential-secretref is a Docker credential helper that takes registry credentials from AWS Secrets
// Manager and SSM Parameter Store by reference. See docker-credential-secretref(1).
package main

import (
	"context"
	"os"

	"github.com/secretref/secretref/credhelper"
	"github.com/secretref/secretref/shared/secret"
)

var version = "dev" // set by the linker

func main() {
	secret.ProtectProcess()
	os.Exit(credhelper.Run(context.Background(), credhelper.Program{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Getenv: os.Getenv, Version: version, HandOver: handOver,
	}))
}
