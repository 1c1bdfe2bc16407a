package options

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Limits of spool-max-bytes, in bytes. Below the least one a spool would drop lines that came in one second.
const (
	minSpool = 64 << 10
	maxSpool = 1 << 40
)

// parseSize reads a number of bytes with the units of Docker's sizes, which are binary and know no case: 10m, 10MB,
// 10MiB. Its error reads on after the value.
func parseSize(text string) (int64, error) {
	number := strings.TrimSpace(strings.ToLower(text))
	number = strings.TrimSuffix(strings.TrimSuffix(number, "b"), "i")
	shift := 0
	if n := len(number); n > 0 {
		if i := strings.IndexByte("kmgt", number[n-1]); i >= 0 {
			number, shift = strings.TrimSpace(number[:n-1]), 10*(i+1)
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange):
		return 0, errors.New("which is no size; write a whole number of bytes, or one with a unit, such as 64MiB")
	case err != nil, n > maxSpool>>shift, n<<shift < minSpool:
		return 0, fmt.Errorf("which is not between %d KiB and %d TiB", minSpool>>10, maxSpool>>40)
	}
	return int64(n << shift), nil //nolint:gosec // at most maxSpool
}
