// Command live sends lines to real services, for those who have accounts there: `make live`. Variables of the environment name
// the accounts; nothing of it runs in CI.
package main

import (
	"os"

	"github.com/secretref/secretref/logplugin"
	"github.com/secretref/secretref/shared/awsconf"
	"github.com/secretref/secretref/shared/config"
)

func main() {
	aws := awsconf.New(config.AWS{}, "secretref-live", "1") // the credentials and the region of the environment
	os.Exit(run(program{kinds: logplugin.RoutersOf(aws), getenv: os.Getenv, out: os.Stdout}))
}
