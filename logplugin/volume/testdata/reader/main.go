// Command reader prints a file, or all versions of it for as long as it runs.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	follow := flag.Bool("follow", false, "print the file again whenever it changes")
	write := flag.String("write", "", "try to write this into the file, and to remove it")
	flag.Parse()
	if *write != "" {
		fmt.Println("write:", os.WriteFile(flag.Arg(0), []byte(*write), 0o600))
		fmt.Println("remove:", os.Remove(flag.Arg(0)))
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM) // process 1 gets no other end
	defer stop()
	last := ""
	for ctx.Err() == nil {
		b, err := os.ReadFile(flag.Arg(0))
		text := string(b)
		if err != nil {
			text = "error: " + err.Error()
		}
		if text != last {
			fmt.Println(text)
			last = text
		}
		if !*follow {
			if err != nil {
				os.Exit(1)
			}
			return
		}
		pause := time.NewTimer(20 * time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
}
