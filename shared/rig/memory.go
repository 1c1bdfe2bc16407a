package rig

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// InMemory reports whether the secret, as it is, stands in memory that the process can write. It is for a test that wants to know
// that there is something to leak before it looks for the leak. Root may look everywhere.
func (c *Canary) InMemory(pid int) (bool, error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return false, err
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return false, err
	}
	defer mem.Close()
	const most = 64 << 20 // what Go reserves is larger, and empty
	for s := bufio.NewScanner(bytes.NewReader(maps)); s.Scan(); {
		f := strings.Fields(s.Text())
		from, to, _ := strings.Cut(f[0], "-")
		low, err := strconv.ParseInt(from, 16, 64)
		high, herr := strconv.ParseInt(to, 16, 64)
		if err != nil || herr != nil || !strings.HasPrefix(f[1], "rw") {
			continue
		}
		b := make([]byte, min(high-low, most))
		n, _ := mem.ReadAt(b, low) // some areas cannot be read
		if bytes.Contains(b[:n], []byte(c.value)) {
			return true, nil
		}
	}
	return false, nil
}
