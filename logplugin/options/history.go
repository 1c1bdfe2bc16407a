package options

import (
	"fmt"
	"math"
	"strconv"

	"github.com/secretref/secretref/shared/size"
)

// How much is kept of a container's delivered lines for `docker logs`, in bytes.
const (
	DefaultHistory = 100 << 20 // what the daemon's own copy would have: 20 MiB in each of 5 files
	NoHistory      = -1
)

// Docker's limits of one file, and how many there are, if the container does not say.
const (
	historyFileBytes = 20 << 20
	historyFiles     = 5
)

// History reads how much is kept of a container's delivered lines from options that are Docker's own: 0 is DefaultHistory,
// NoHistory is nothing. They mean what they mean for the daemon's own copy, which is not made.
func History(config map[string]string) (int64, error) {
	if text := config["cache-disabled"]; text != "" {
		off, err := strconv.ParseBool(text)
		if err != nil {
			return 0, fmt.Errorf("log-opt cache-disabled is %q; write true or false", text)
		}
		if off {
			return NoHistory, nil
		}
	}
	name, text := first(config, "cache-max-size", "max-size")
	bytes := int64(historyFileBytes)
	if text != "" {
		var err error
		if bytes, err = size.Parse(text); err != nil || bytes <= 0 {
			return 0, fmt.Errorf("log-opt %s is %q; write a size as in 20m", name, text)
		}
	}
	name, count := first(config, "cache-max-file", "max-file")
	files := int64(historyFiles)
	if count != "" {
		var err error
		if files, err = strconv.ParseInt(count, 10, 32); err != nil || files < 1 {
			return 0, fmt.Errorf("log-opt %s is %q; write a number of at least 1", name, count)
		}
	}
	if text == "" && count == "" {
		return 0, nil
	}
	if bytes > math.MaxInt64/files {
		return 0, fmt.Errorf("log-opt %s is %q, which is too many", name, count)
	}
	return bytes * files, nil
}

// first returns the first option that is given.
func first(config map[string]string, names ...string) (name, value string) {
	for _, name := range names {
		if config[name] != "" {
			return name, config[name]
		}
	}
	return names[len(names)-1], ""
}
