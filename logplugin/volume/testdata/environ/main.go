// Command environ prints the variables that it is asked for, as the beginnings of hashes: a value is in no log.
//
//	environ [-wait] NAME...      one line for each; with -wait it then runs until it is ended
//	environ -is HASH NAME        exit status 0 if the variable has that hash
package main

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func hash(name string) string {
	value, ok := os.LookupEnv(name)
	if !ok {
		return "missing"
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte(value)))[:16]
}

func main() {
	wait := flag.Bool("wait", false, "run until a signal")
	is := flag.String("is", "", "compare with this hash")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM) // process 1 gets no other end
	defer stop()
	for _, name := range flag.Args() {
		switch {
		case *is == "":
			fmt.Println(name, hash(name))
		case *is != hash(name):
			os.Exit(1)
		}
	}
	if *wait {
		<-ctx.Done()
	}
}
