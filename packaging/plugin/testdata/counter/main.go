// Command counter is what the test's containers run: counter LINES PAUSE writes numbered lines, with a
// pause after every hundred.
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
	pause, err := time.ParseDuration(os.Args[2])
	if err != nil {
		panic(err)
	}
	w := bufio.NewWriter(os.Stdout)
	defer w.Flush()
	for i := range n {
		fmt.Fprintf(w, "line %07d\n", i)
		if pause > 0 && i%100 == 99 {
			w.Flush()
			time.Sleep(pause)
		}
	}
}
