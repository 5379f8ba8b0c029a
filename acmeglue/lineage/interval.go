package lineage

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Interval is a span such as "10 days", "6 months 1 week" or "9 hours". Months and
// years have the length that they have in the calendar. The zero value is no time.
type Interval struct {
	parts []part
}

type part struct {
	n    float64
	unit unit
}

type unit int

const (
	seconds unit = iota
	minutes
	hours
	days
	weeks
	months
	years
)

// units are those that parsedatetime knows in English.
var units = map[string]unit{
	"second": seconds, "seconds": seconds, "sec": seconds, "s": seconds,
	"minute": minutes, "minutes": minutes, "min": minutes, "m": minutes,
	"hour": hours, "hours": hours, "hr": hours, "h": hours,
	"day": days, "days": days, "dy": days, "d": days,
	"week": weeks, "weeks": weeks, "wk": weeks, "w": weeks,
	"month": months, "months": months, "mth": months,
	"year": years, "years": years, "yr": years, "y": years,
}

var numbers = map[string]float64{
	"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6,
	"seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12,
}

// maxAmount keeps sums of times within what a time can hold.
const maxAmount = 100_000

// ParseInterval reads the value of renew_before_expiry. A number without a unit is
// one of days. certbot takes what it does not understand for no time at all, and so
// renews after the certificate has ended; here it is an error.
func ParseInterval(s string) (Interval, error) {
	bad := func() (Interval, error) {
		return Interval{}, fmt.Errorf("interval %.40q: write it as 10 days, 3 weeks or 6 months 1 week", s)
	}
	words := strings.Fields(strings.ReplaceAll(strings.ToLower(s), ",", " "))
	if len(words) == 1 && strings.Trim(words[0], "0123456789") == "" {
		words = append(words, "days")
	}
	var out Interval
	for len(words) > 0 {
		if words[0] == "and" && len(out.parts) > 0 {
			words = words[1:]
			continue
		}
		amount, name := splitAmount(words[0])
		words = words[1:]
		if name == "" {
			if len(words) == 0 {
				return bad()
			}
			name, words = words[0], words[1:]
		}
		n, ok := numbers[amount]
		if !ok {
			var err error
			if n, err = strconv.ParseFloat(amount, 64); err != nil {
				return bad()
			}
		}
		u, ok := units[name]
		if !ok || !(n >= 0 && n <= maxAmount) || u >= months && n != math.Trunc(n) {
			return bad()
		}
		out.parts = append(out.parts, part{n, u})
	}
	if len(out.parts) == 0 {
		return bad()
	}
	return out, nil
}

// splitAmount takes "10d" apart. The unit is "" where it is a word of its own.
func splitAmount(word string) (amount, name string) {
	i := strings.IndexFunc(word, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if i <= 0 {
		return word, ""
	}
	return word[:i], word[i:]
}

// After is the time that comes this interval after t. A month after 31 January is the
// last day of February.
func (i Interval) After(t time.Time) time.Time {
	for _, p := range i.parts {
		switch p.unit {
		case years:
			t = addMonths(t, 12*int(p.n))
		case months:
			t = addMonths(t, int(p.n))
		default:
			length := [...]time.Duration{time.Second, time.Minute, time.Hour, 24 * time.Hour, 7 * 24 * time.Hour}[p.unit]
			whole, rest := math.Modf(p.n)
			for step := int(whole); step > 0; step -= 1000 { // a Duration ends at 292 years
				t = t.Add(time.Duration(min(step, 1000)) * length)
			}
			t = t.Add(time.Duration(rest * float64(length)))
		}
	}
	return t
}

func addMonths(t time.Time, n int) time.Time {
	first := t.AddDate(0, 0, 1-t.Day()).AddDate(0, n, 0)
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(t.Day(), last)-1)
}
