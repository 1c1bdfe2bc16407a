package options

import (
	"errors"
	"fmt"

	"github.com/secretref/secretref/shared/size"
)

// Limits of spool-max-bytes, in bytes. Below the least one a spool would drop lines that came in one second.
const (
	minSpool = 64 << 10
	maxSpool = 1 << 40
)

// parseSize reads the size of a spool. Its error reads on after the value.
func parseSize(text string) (int64, error) {
	n, err := size.Parse(text)
	switch {
	case err != nil && !errors.Is(err, size.ErrTooLarge):
		return 0, fmt.Errorf("which %w", err)
	case err != nil, n < minSpool, n > maxSpool:
		return 0, fmt.Errorf("which is not between %d KiB and %d TiB; write a size such as 256MiB", minSpool>>10, maxSpool>>40)
	}
	return n, nil
}
