package configobj

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The work grows with the size of a file, not with its square, whatever is in it.
func TestLargestFiles(t *testing.T) {
	for _, c := range []struct{ before, piece, after string }{
		{"", "%x=\n", ""}, {"", "[%x]\n", ""}, {"", "[", ""}, {"", "[", "]"}, {"", "[s] ", ""}, {"k = ", "x,", ""}, {"k = ", `"a,`, `"`}, {"k = ", "'a\"b,", "'"},
		{"k = ", " ", "x"}, {"k = '''", "\n", ""}, {"k = '''\n", `"""'` + "\n", "'''"}, {"'", "a=", ""}, {"", "# \n", ""}, {"", "''' ", ""}, {"k = ", "' '", ""},
	} {
		fill := func(size int) []byte {
			b := []byte(c.before)
			for n := 0; len(b) < size-16; n++ {
				if strings.Contains(c.piece, "%") {
					b = fmt.Appendf(b, c.piece, n)
				} else {
					b = append(b, c.piece...)
				}
			}
			return append(b, c.after...)
		}
		small, large := work(t, fill(MaxSize/8)), work(t, fill(MaxSize))
		if large > 24*small && large > 300*time.Millisecond {
			t.Errorf("%.20q...: %v, eight times as much takes %v", c.before+c.piece, small, large)
		}
	}
}

// work is the CPU time of reading and writing a file.
func work(t *testing.T, text []byte) time.Duration {
	t.Helper()
	cpu := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	start := cpu()
	if d, err := Parse(text); err == nil {
		_ = d.Bytes()
	} else if len(text) > MaxSize {
		t.Fatal(err)
	}
	return cpu() - start
}
