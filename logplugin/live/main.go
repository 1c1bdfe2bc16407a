// Command live sends lines to real services, for those who have accounts there: `make live`. Variables of the environment name
// the accounts; nothing of it runs in CI.
package main

import (
	"os"

	"github.com/secretref/secretref/logplugin"
)

func main() {
	os.Exit(run(program{kinds: logplugin.Routers(), getenv: os.Getenv, out: os.Stdout}))
}
