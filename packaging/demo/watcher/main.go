// Command watcher is the demo's application: it reads its password from a variable, or from a file, and notices when that changes. With an
// argument it ends when it has read it.
package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if value, ok := os.LookupEnv("DB_PASSWORD"); ok {
		fmt.Printf("variable DB_PASSWORD, SHA-256 %x\n", sha256.Sum256([]byte(value)))
		if len(os.Args) > 1 {
			return
		}
		ended := make(chan os.Signal, 1)
		signal.Notify(ended, syscall.SIGTERM)
		<-ended
		return
	}
	last := ""
	for tick := time.NewTicker(50 * time.Millisecond); ; <-tick.C {
		b, err := os.ReadFile("/run/secrets/password")
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		if string(b) != last {
			fmt.Printf("password read, SHA-256 %x\n", sha256.Sum256(b))
			last = string(b)
		}
	}
}
