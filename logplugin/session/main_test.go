package session

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// Most of the time the tests wait for pauses and for lines: more run side by side than there are processors.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}
