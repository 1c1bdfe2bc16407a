package rig

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

// A reader of the output that has gone ends the context, and the broken connection of a server in the same process does not.
func TestInterruptible(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ctx, out, stop := Interruptible(w)
	defer stop()

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if err := client.(*net.TCPConn).SetLinger(0); err != nil { // a reset, as of a killed process
		t.Fatal(err)
	}
	client.Close()
	for err = nil; err == nil; { // the second write after a reset is a broken pipe
		_, err = server.Write([]byte("x"))
	}
	for err = nil; err == nil || !strings.Contains(err.Error(), syscall.EPIPE.Error()); {
		_, err = server.Write([]byte("x"))
	}
	fmt.Fprintln(out, "still read")
	if ctx.Err() != nil {
		t.Fatalf("a broken connection of our own ended it: %v", context.Cause(ctx))
	}

	r.Close()
	fmt.Fprintln(out, "not read")
	select {
	case <-ctx.Done():
	case <-t.Context().Done():
	}
	if got := fmt.Sprint(context.Cause(ctx)); got != "nobody reads the output: broken pipe" {
		t.Errorf("it ended with %q", got)
	}
}

func TestInterruptibleBySignal(t *testing.T) {
	ctx, _, stop := Interruptible(os.Stdout)
	defer stop()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ctx.Done():
	case <-t.Context().Done():
	}
	if got := fmt.Sprint(context.Cause(ctx)); got != "hangup signal received" {
		t.Errorf("it ended with %q", got)
	}
}
