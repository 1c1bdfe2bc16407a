// Command talker is what the test's containers run: talker LINES [MICROSECONDS between them].
package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"time"
)

func main() {
	n, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	pause := time.Duration(0)
	if len(os.Args) > 2 {
		us, err := strconv.Atoi(os.Args[2])
		if err != nil {
			panic(err)
		}
		pause = time.Duration(us) * time.Microsecond
	}
	w := bufio.NewWriter(os.Stdout)
	for i := range n {
		fmt.Fprintf(w, "line %07d\n", i)
		if pause > 0 {
			w.Flush()
			time.Sleep(pause)
		}
	}
	w.Flush()
}
