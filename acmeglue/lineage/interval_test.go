package lineage

import (
	"testing"
	"time"
)

// What certbot 2.1 comes to, by parsedatetime, on the same day.
func TestIntervalAsCertbotReadsIt(t *testing.T) {
	const day, hour = 24 * time.Hour, time.Hour
	from := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"10 days": 10 * day, "30 days": 30 * day, "3 weeks": 21 * day, "6 months 1 week": 188 * day, "9 hours": 9 * hour,
		"3 days 12 hours": 84 * hour, "1 month": 28 * day, "1 year": 365 * day, "10d": 10 * day, "2w": 14 * day, "5h": 5 * hour,
		"10 minutes": 10 * time.Minute, "90 seconds": 90 * time.Second, "1 day, 2 hours": 26 * hour, "one week": 7 * day, "a week": 7 * day,
		"two weeks": 14 * day, "1.5 days": 36 * hour, "10 Days": 10 * day, "10days": 10 * day, "0 days": 0, "12 months": 365 * day,
		"0.5 days": 12 * hour, "1m": time.Minute, "1 mth": 28 * day, "30": 30 * day, " 7 ": 7 * day, "1 days 1 days": 2 * day, "10 min": 10 * time.Minute,
		"an hour": hour, "1 y": 365 * day, "2 days and 3 hours": 51 * hour, "1 week 2 days 3 hours 4 minutes 5 seconds": 9*day + 3*hour + 4*time.Minute + 5*time.Second,
	} {
		i, err := ParseInterval(text)
		if err != nil || i.After(from).Sub(from) != want {
			t.Errorf("%q: %v, %v, want %v", text, i.After(from).Sub(from), err, want)
		}
	}
	for _, text := range []string{"", "bogus", "days", "10 fortnights", "-5 days", "3 days ago", "1.5 months", "999999999999 years", "NaN days", "1e9 days", "10 20 days", "and"} {
		if i, err := ParseInterval(text); err == nil {
			t.Errorf("%q: %v", text, i.After(from))
		}
	}
}

func TestIntervalIsBounded(t *testing.T) {
	i, err := ParseInterval("100000 weeks")
	if err != nil {
		t.Fatal(err)
	}
	from := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	if got := i.After(from); got.Year() != 3942 {
		t.Error(got)
	}
}
