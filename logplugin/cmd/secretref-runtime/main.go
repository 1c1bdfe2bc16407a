// Command secretref-runtime is an OCI runtime in front of another that gives containers their secrets as variables.
package main

import (
	"os"

	"github.com/secretref/secretref/logplugin/ociruntime"
)

func main() { os.Exit(ociruntime.Run(os.Args)) }
