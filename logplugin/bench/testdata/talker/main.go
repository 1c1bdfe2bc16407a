// Command talker is what the benchmark's containers run: talker LINES [SIZE RATE]. It writes lines of 100 bytes that differ as
// those of a web server do, with the buffer of 4 KiB that programs usually have between them and a pipe. With SIZE and RATE it
// writes lines of so many bytes, so many a second, each with its number and the time at which it is written.
package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"time"
)

// So many lines are made before the first is written: making them is not what is measured. They come again only far
// outside of what gzip looks back at.
const made = 5000

func main() {
	n := number(1)
	r := rand.New(rand.NewPCG(1, 2))
	if len(os.Args) > 2 {
		pace(r, n, number(2), number(3))
		return
	}
	lines := make([][]byte, made)
	for i := range lines {
		lines[i] = line(r, i)
	}
	w := bufio.NewWriterSize(os.Stdout, 4<<10)
	for i := range n {
		_, _ = w.Write(lines[i%made])
	}
	if err := w.Flush(); err != nil {
		panic(err)
	}
}

func number(argument int) int {
	n, err := strconv.Atoi(os.Args[argument])
	if err != nil {
		panic(err)
	}
	return n
}

func line(r *rand.Rand, i int) []byte {
	methods, paths := []string{"GET", "POST", "PUT"}, []string{"/api/v1/orders", "/index.html", "/api/v1/users/profile", "/healthz"}
	l := fmt.Appendf(nil, "2026-11-23T19:%02d:%02d.%03dZ 10.0.%d.%d \"%s %s\" %d %d id=%016x%016x", i/60%60, i%60, r.IntN(1000), r.IntN(256), r.IntN(256),
		methods[r.IntN(len(methods))], paths[r.IntN(len(paths))], 200+r.IntN(4)*100, r.IntN(100000), r.Uint64(), r.Uint64())
	return append(append(l, "                                "...)[:100], '\n')
}

// pace writes the lines that are due every five milliseconds, each with a write of its own.
func pace(r *rand.Rand, n, size, rate int) {
	const tick = 5 * time.Millisecond
	text := filler(r)
	clock := time.NewTicker(tick)
	defer clock.Stop()
	start := time.Now()
	var buf []byte
	for i := 0; i < n; <-clock.C {
		due := min(n, 1+int(time.Since(start).Seconds()*float64(rate)))
		for ; i < due; i++ {
			buf = fmt.Appendf(buf[:0], "seq=%09d t=%019d id=", i, time.Now().UnixNano())
			from := r.IntN(len(text) - size)
			buf = append(append(buf, text[from:from+size]...)[:size], '\n')
			if _, err := os.Stdout.Write(buf); err != nil {
				panic(err)
			}
		}
	}
}

// filler makes text of words and numbers, of which there is so much that compression finds little of it again.
func filler(r *rand.Rand) []byte {
	const enough = 4 << 20
	words := []string{" GET /index.html ", " cache miss user=", " took=", " key="}
	text := make([]byte, 0, enough+64)
	for len(text) < enough {
		text = append(text, words[r.IntN(len(words))]...)
		text = strconv.AppendUint(text, r.Uint64(), 36)
	}
	return text
}
