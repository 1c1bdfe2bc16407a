// Command talker is what the test's containers run. It writes numbered lines, and in the end on each stream how many
// there were: "line 0000000", "line 0000001", "end 2". SIGTERM is the end, too.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	n := flag.Int("n", -1, "lines on each stream; -1 = until SIGTERM")
	pause := flag.Duration("pause", 0, "after each line; 0 = as fast as it goes")
	size := flag.Int("size", 12, "bytes of a line")
	both := flag.Bool("both", false, "write to stderr, too")
	stay := flag.Bool("stay", false, "after the last line wait for SIGTERM")
	shapes := flag.Bool("shapes", false, "write awkward lines instead")
	random := flag.Bool("bytes", false, "write -n lines of any bytes instead")
	wide := flag.Bool("wide", false, "write -n lines instead that are longer than a piece, which ends in the middle of a character")
	flag.Parse()
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	stop := make(chan struct{})
	go func() { <-end; close(stop) }()
	if *shapes {
		writeShapes()
		return
	}
	if *random || *wide {
		writeLines(*n, *wide)
		return
	}
	var done sync.WaitGroup
	for i, w := range []io.Writer{os.Stdout, os.Stderr} {
		if i == 0 || *both {
			done.Go(func() { talk(w, stop, *n, *size, *pause) })
		}
	}
	done.Wait()
	if *stay {
		<-stop
	}
}

func talk(out io.Writer, stop <-chan struct{}, n, size int, pause time.Duration) {
	w := bufio.NewWriter(out)
	defer w.Flush()
	padding := strings.Repeat(".", max(size-12, 0))
	for i := 0; ; i++ {
		select {
		case <-stop:
			n = i
		default:
		}
		if i == n {
			fmt.Fprintf(w, "end %d\n", i)
			return
		}
		fmt.Fprintf(w, "line %07d%s\n", i, padding)
		if pause > 0 {
			w.Flush()
			time.Sleep(pause)
		}
	}
}

// writeShapes writes lines that are awkward to carry. The test has the same list.
func writeShapes() {
	long := func(c byte, n int) string { return string(bytes.Repeat([]byte{c}, n)) + "\n" }
	for _, s := range []string{
		long('a', 16<<10), long('b', 16<<10+1), long('c', 1<<20), long('d', 10<<20),
		"\n", "nul \x00 nul\n", "bad \xff\xfe utf-8 \xc3\n", "quotes \" \\ \t \u2028 \x1b[0m\n", "ü 日本 🙂\r\n",
	} {
		os.Stdout.WriteString(s)
	}
	// Pieces of two long lines that come in turn.
	var done sync.WaitGroup
	for i, w := range []*os.File{os.Stdout, os.Stderr} {
		done.Go(func() {
			for range 8 {
				w.Write(bytes.Repeat([]byte{byte('x' + i)}, 10<<10))
				time.Sleep(5 * time.Millisecond)
			}
			w.WriteString("\n")
		})
	}
	done.Wait()
	os.Stdout.WriteString("the tail has no end")
}

// writeLines writes n lines, the same each time: of any bytes but newlines, or long ones of characters that have three bytes.
func writeLines(n int, wide bool) {
	w := bufio.NewWriter(os.Stdout)
	defer w.Flush()
	r := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		line := bytes.Repeat([]byte("日"), 5500+i)
		if !wide {
			line = line[:r.IntN(300)]
			for j := range line {
				line[j] = byte(11 + r.IntN(245))
			}
		}
		w.Write(append(line, '\n'))
	}
}
