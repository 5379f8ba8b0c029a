package configobj

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The largest file takes no more than a moment, whatever is in it. What takes
// time with the square of the size would take minutes here.
func TestLargestFiles(t *testing.T) {
	var keys, sections strings.Builder
	for n := 0; sections.Len() < MaxSize-100; n++ {
		fmt.Fprintf(&sections, "[%d]\n", n)
		if keys.Len() < MaxSize-100 {
			fmt.Fprintf(&keys, "%x=\n", n)
		}
	}
	fill := func(before, piece, after string) string {
		return before + strings.Repeat(piece, (MaxSize-len(before)-len(after))/len(piece)) + after
	}
	for _, text := range []string{
		keys.String(), sections.String(), fill("", "[", ""), fill("", "[", "]"), fill("", "[s] ", ""), fill("k = ", "x,", ""), fill("k = ", `"a,`, `"`), fill("k = ", "'a\"b,", "'"),
		fill("k = ", " ", "x"), fill("k = '''", "\n", ""), fill("k = '''\n", `"""'`+"\n", "'''"), fill("'", "a=", ""), fill("", "# \n", ""), fill("", "''' ", ""), fill("k = ", "' '", ""),
	} {
		start := time.Now()
		d, err := Parse([]byte(text))
		if err == nil {
			_ = d.Bytes()
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%.20q...: took %v (%v)", text, took, err)
		}
	}
}
