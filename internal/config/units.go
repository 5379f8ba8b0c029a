package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

var errUnit = errors.New("a number without a unit")

// parseDuration is time.ParseDuration with days, without signs and without "0"
// for everything: a unit is always written.
func parseDuration(s string) (time.Duration, error) {
	if s == "" || strings.ContainsAny(s, "+- ") {
		return 0, fmt.Errorf("%q is not a duration", s)
	}
	if strings.Trim(s, "0123456789.") == "" {
		return 0, errUnit
	}
	if days, rest, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n > 36500 {
			return 0, fmt.Errorf("%q is not a duration", s)
		}
		d := time.Duration(n) * 24 * time.Hour
		if rest == "" {
			return d, nil
		}
		more, err := parseDuration(rest)
		return d + more, err
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration", s)
	}
	return d, nil
}

var sizeUnits = []struct {
	suffix string
	factor int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1},
}

// parseSize reads a number of bytes with its unit.
func parseSize(s string) (int, error) {
	if s != "" && strings.Trim(s, "0123456789.") == "" {
		return 0, errUnit
	}
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n < 0 || digits[0] == '+' || n > math.MaxInt32/u.factor {
			break
		}
		return int(n * u.factor), nil
	}
	return 0, fmt.Errorf("%q is not a size", s)
}

// parseRate reads bytes per second.
func parseRate(s string) (int, error) {
	size, ok := strings.CutSuffix(s, "/s")
	if !ok {
		return 0, fmt.Errorf("%q is not a rate", s)
	}
	n, err := parseSize(size)
	if err != nil {
		return 0, fmt.Errorf("%q is not a rate", s)
	}
	return n, nil
}

// plainInt accepts decimal digits only: 0123 is 83 to YAML and 123 to people,
// 1_000 is a thousand to YAML and a mistake to most.
func plainInt(s string) (int, bool) {
	if s == "" || len(s) > 9 || len(s) > 1 && s[0] == '0' || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}
