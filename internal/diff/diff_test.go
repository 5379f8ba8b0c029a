package diff

import (
	"strings"
	"testing"
)

func TestUnified(t *testing.T) {
	numbers := "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n"
	for _, c := range []struct{ from, old, new, want string }{
		{"/f", "a\n", "a\n", ""},
		{"/dev/null", "", "", "--- /dev/null\n+++ /f\n"},
		{"/dev/null", "", "a\nb", "--- /dev/null\n+++ /f\n@@ -0,0 +1,2 @@\n+a\n+b\n\\ No newline at end of file\n"},
		{"/f", "a\n", "", "--- /f\n+++ /f\n@@ -1 +0,0 @@\n-a\n"},
		{"/f", numbers, strings.Replace(numbers, "5\n", "x\ny\n", 1),
			"--- /f\n+++ /f\n@@ -2,7 +2,8 @@\n 2\n 3\n 4\n-5\n+x\n+y\n 6\n 7\n 8\n"},
		{"/f", numbers, "0\n" + strings.Replace(numbers, "12\n", "", 1),
			"--- /f\n+++ /f\n@@ -1,3 +1,4 @@\n+0\n 1\n 2\n 3\n@@ -9,4 +10,3 @@\n 9\n 10\n 11\n-12\n"},
		{"/f", numbers, strings.NewReplacer("3\n", "", "9\n", "z\n").Replace(numbers),
			"--- /f\n+++ /f\n@@ -1,12 +1,11 @@\n 1\n 2\n-3\n 4\n 5\n 6\n 7\n 8\n-9\n+z\n 10\n 11\n 12\n"},
		{"/f", numbers, strings.NewReplacer("3\n", "", "10\n", "").Replace(numbers),
			"--- /f\n+++ /f\n@@ -1,12 +1,10 @@\n 1\n 2\n-3\n 4\n 5\n 6\n 7\n 8\n 9\n-10\n 11\n 12\n"},
		{"/f", numbers, strings.NewReplacer("3\n", "", "11\n", "").Replace(numbers),
			"--- /f\n+++ /f\n@@ -1,6 +1,5 @@\n 1\n 2\n-3\n 4\n 5\n 6\n@@ -8,5 +7,4 @@\n 8\n 9\n 10\n-11\n 12\n"},
		{"/f", "a\r\nb", "a\nb", "--- /f\n+++ /f\n@@ -1,2 +1,2 @@\n-a\r\n+a\n b\n\\ No newline at end of file\n"},
	} {
		if got := Unified(c.from, "/f", c.old, c.new); got != c.want {
			t.Errorf("%q to %q:\n%s\nwant\n%s", c.old, c.new, got, c.want)
		}
	}
	// Too much: what differs goes and comes as a whole.
	got := Unified("/f", "/f", "s\n"+strings.Repeat("a\nb\n", 3000)+"e\n", "s\n"+strings.Repeat("b\nc\n", 3000)+"e\n")
	if !strings.HasPrefix(got, "--- /f\n+++ /f\n@@ -1,6002 +1,6002 @@\n s\n-a\n") || strings.Count(got, "\n+") != 6001 {
		t.Errorf("%.200s", got)
	}
}
