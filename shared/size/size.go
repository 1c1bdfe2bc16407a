// Package size reads sizes in bytes as users write them, in the configuration and in log options: one grammar for both.
package size

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Parse reads a whole number of bytes, alone or with a unit. The units are those of Docker's sizes: binary, in any case,
// with or without B or iB, so that 10m, 10MB and 10MiB are the same.
//
// The error completes a sentence that begins with the text, as in `"1.5g" is not a size (...)`. A number that is
// too large for an int64 is ErrTooLarge.
func Parse(text string) (int64, error) {
	text = strings.TrimSpace(text)
	number := strings.TrimRight(text, "bBiIkKmMgGtT")
	shift, ok := unit(strings.ToLower(text[len(number):]))
	n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 63)
	switch {
	case !ok, err != nil && !errors.Is(err, strconv.ErrRange):
		return 0, errors.New("is not a size (a whole number of bytes, or one with a unit, as in 64MiB)")
	case err != nil, n > math.MaxInt64>>shift:
		return 0, ErrTooLarge
	}
	return int64(n << shift), nil //nolint:gosec // at most MaxInt64
}

// ErrTooLarge is the error for a size of 8 EiB or more.
var ErrTooLarge = errors.New("is too large")

// unit returns by how many bits the unit, in lower case, shifts a number.
func unit(u string) (shift int, ok bool) {
	if u == "" || u == "b" {
		return 0, true
	}
	i := strings.IndexByte("kmgt", u[0])
	return 10 * (i + 1), i >= 0 && (u[1:] == "" || u[1:] == "b" || u[1:] == "ib")
}
