// Command talker is what the benchmark's containers run: talker LINES. It writes lines of 100 bytes that differ as
// those of a web server do, with the buffer of 4 KiB that programs usually have between them and a pipe.
package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
)

// So many lines are made before the first is written: making them is not what is measured. They come again only far
// outside of what gzip looks back at.
const made = 5000

func main() {
	n, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	lines := make([][]byte, made)
	r := rand.New(rand.NewPCG(1, 2))
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

func line(r *rand.Rand, i int) []byte {
	methods, paths := []string{"GET", "POST", "PUT"}, []string{"/api/v1/orders", "/index.html", "/api/v1/users/profile", "/healthz"}
	l := fmt.Appendf(nil, "2026-11-23T19:%02d:%02d.%03dZ 10.0.%d.%d \"%s %s\" %d %d id=%016x%016x", i/60%60, i%60, r.IntN(1000), r.IntN(256), r.IntN(256),
		methods[r.IntN(len(methods))], paths[r.IntN(len(paths))], 200+r.IntN(4)*100, r.IntN(100000), r.Uint64(), r.Uint64())
	return append(append(l, "                                "...)[:100], '\n')
}
