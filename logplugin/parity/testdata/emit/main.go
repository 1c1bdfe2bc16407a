// Command emit is what the test's containers run: it writes the lines of the JSON file /lines, each with one write.
package main

import (
	"encoding/json"
	"os"
)

func main() {
	text, err := os.ReadFile("/lines")
	if err != nil {
		panic(err)
	}
	var lines []struct {
		Stream  string
		Line    []byte
		Newline bool
	}
	if err := json.Unmarshal(text, &lines); err != nil {
		panic(err)
	}
	for _, l := range lines {
		if l.Newline {
			l.Line = append(l.Line, '\n')
		}
		to := os.Stdout
		if l.Stream == "stderr" {
			to = os.Stderr
		}
		if _, err := to.Write(l.Line); err != nil {
			panic(err)
		}
	}
}
