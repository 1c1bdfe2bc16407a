// Command watcher is the demo's application: it reads its password from a file, and notices when it changes.
package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"time"
)

func main() {
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
