package trace

import (
	"strings"
	"testing"
)

const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestParse(t *testing.T) {
	c, ok := Parse(good)
	if !ok || c.TraceID != "4bf92f3577b34da6a3ce929d0e0e4736" || c.ParentID != "00f067aa0ba902b7" || !c.Sampled {
		t.Errorf("%+v %v", c, ok)
	}
	for s, want := range map[string]bool{
		good: true, strings.Replace(good, "-01", "-00", 1): true, "cc" + good[2:]: true, "cc" + good[2:] + "-more": true,
		"": false, "ff" + good[2:]: false, good + "-more": false, "cc" + good[2:] + "more": false, strings.ToUpper(good): false,
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01": false, "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01": false,
		strings.ReplaceAll(good, "-", "_"): false, good[:54]: false, strings.Replace(good, "4bf", "4b\n", 1): false,
	} {
		if _, ok := Parse(s); ok != want {
			t.Errorf("%q: %v", s, ok)
		}
	}
	if c, _ := Parse(strings.Replace(good, "-01", "-0e", 1)); c.Sampled {
		t.Error("0e is not sampled")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(good)
	f.Fuzz(func(t *testing.T, s string) {
		if c, ok := Parse(s); ok && (len(c.TraceID) != 32 || len(c.ParentID) != 16 || !isHex(c.TraceID+c.ParentID)) {
			t.Errorf("%q: %+v", s, c)
		}
	})
}

func TestNew(t *testing.T) {
	sampled := 0
	seen := map[string]bool{}
	for range 10000 {
		id, s := NewTrace(0.1)
		if s {
			sampled++
		}
		c, ok := Parse(Format(id, NewSpan(), s))
		if !ok || c.TraceID != id || c.Sampled != s || seen[id] {
			t.Fatalf("%s: %+v %v", id, c, ok)
		}
		seen[id] = true
	}
	if sampled < 850 || sampled > 1150 {
		t.Errorf("%d of 10000 with a part of 0.1", sampled)
	}
}
