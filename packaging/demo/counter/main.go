// Command counter is the container whose log the demo watches: counter LINES writes that many, one each millisecond.
package main

import (
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
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for i := range n {
		fmt.Printf("line %d\n", i)
		<-tick.C
	}
}
