// Command fakeaws serves the AWS endpoint of package fakeaws until SIGTERM, for the demo.
//
//	fakeaws [--listen ADDR] [--imds ADDR] [--state FILE.json]
//
// It prints where it listens, as lines of an environment file:
//
//	AWS_ENDPOINT_URL=http://127.0.0.1:35873
//	AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:43011
//
// The file holds a fakeaws.Seed. Later changes are made through the API itself (PutSecretValue), faults through
// POST /_fault, and GET /_calls lists what was called. The access key is fakeaws.AccessKeyID.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/secretref/secretref/shared/fakeaws"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "fakeaws:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("fakeaws", flag.ContinueOnError)
	listen := flags.String("listen", "", "address of the API; by default a free port of 127.0.0.1")
	imds := flags.String("imds", "127.0.0.1:0", "address of the metadata service")
	state := flags.String("state", "", "file with secrets, parameters and roles in JSON")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	var seed fakeaws.Seed
	if *state != "" {
		f, err := os.Open(*state)
		if err != nil {
			return err
		}
		seed, err = fakeaws.ReadSeed(f)
		_ = f.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", *state, err)
		}
	}
	s, err := fakeaws.Start(fakeaws.Options{Listen: *listen, ListenIMDS: *imds})
	if err != nil {
		return err
	}
	defer s.Close()
	s.Put(seed)
	if _, err := fmt.Fprintf(stdout, "AWS_ENDPOINT_URL=%s\nAWS_EC2_METADATA_SERVICE_ENDPOINT=%s\n", s.URL, s.IMDSURL); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
