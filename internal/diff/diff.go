package diff

import (
	"fmt"
	"slices"
	"strings"
)

// context is how many lines are shown around those that differ.
const context = 3

// Unified returns the difference as a unified diff, whose first lines name what is
// compared. It is empty where the texts and the names are the same.
func Unified(from, to, old, new string) string {
	if old == new && from == to {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "--- %s\n+++ %s\n", from, to)
	steps := compare(splitLines(old), splitLines(new))
	for i := 0; i < len(steps); {
		if steps[i].kind == ' ' {
			i++
			continue
		}
		// A hunk ends where more than twice the context is the same.
		first, last := i, i
		for j := i; j < len(steps) && j <= last+2*context+1; j++ {
			if steps[j].kind != ' ' {
				last = j
			}
		}
		writeHunk(&b, steps, max(0, first-context), min(len(steps), last+1+context))
		i = last + 1
	}
	return b.String()
}

func writeHunk(b *strings.Builder, steps []step, from, to int) {
	oldStart, newStart, oldLines, newLines := 1, 1, 0, 0
	for i, s := range steps[:to] {
		o, n := &oldStart, &newStart
		if i >= from {
			o, n = &oldLines, &newLines
		}
		if s.kind != '+' {
			*o++
		}
		if s.kind != '-' {
			*n++
		}
	}
	fmt.Fprintf(b, "@@ -%s +%s @@\n", hunkRange(oldStart, oldLines), hunkRange(newStart, newLines))
	for _, s := range steps[from:to] {
		b.WriteByte(s.kind)
		b.WriteString(s.line)
		if !strings.HasSuffix(s.line, "\n") {
			b.WriteString("\n\\ No newline at end of file\n")
		}
	}
}

func hunkRange(start, lines int) string {
	switch lines {
	case 0:
		return fmt.Sprintf("%d,0", start-1)
	case 1:
		return fmt.Sprint(start)
	}
	return fmt.Sprintf("%d,%d", start, lines)
}

func splitLines(s string) []string {
	lines := strings.SplitAfter(s, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// step is a line that stays (' '), goes ('-') or comes ('+').
type step struct {
	kind byte
	line string
}

// maxSteps bounds how many lines may differ for the shortest way to be looked for;
// beyond, what is between the first and the last difference goes and comes as a whole.
const maxSteps = 1500

// compare finds the shortest way between what is left after the common beginning and
// the common end.
func compare(old, new []string) []step {
	var out []step
	for len(old) > 0 && len(new) > 0 && old[0] == new[0] {
		out = append(out, step{' ', old[0]})
		old, new = old[1:], new[1:]
	}
	same := 0
	for same < len(old) && same < len(new) && old[len(old)-1-same] == new[len(new)-1-same] {
		same++
	}
	end := old[len(old)-same:]
	out = append(out, compareMiddle(old[:len(old)-same], new[:len(new)-same])...)
	for _, line := range end {
		out = append(out, step{' ', line})
	}
	return out
}

// compareMiddle is Myers' algorithm: reach[d][k] is how far one gets in old on the
// diagonal k = place in old - place in new, by d lines that differ.
func compareMiddle(old, new []string) []step {
	reach := []map[int]int{}
	for d := 0; d <= maxSteps; d++ {
		now := make(map[int]int, d+1)
		reach = append(reach, now)
		for k := -d; k <= d; k += 2 {
			i := 0
			if d > 0 {
				i = enter(reach[d-1], d, k)
			}
			for i < len(old) && i-k < len(new) && old[i] == new[i-k] {
				i++
			}
			now[k] = i
			if i >= len(old) && i-k >= len(new) {
				return wayBack(reach, old, new)
			}
		}
	}
	var out []step
	for _, line := range old {
		out = append(out, step{'-', line})
	}
	for _, line := range new {
		out = append(out, step{'+', line})
	}
	return out
}

// enter returns where the diagonal k is entered by the d-th line that differs: from
// below by a line that comes, or from above by one that goes.
func enter(before map[int]int, d, k int) int {
	if comes(before, d, k) {
		return before[k+1]
	}
	return before[k-1] + 1
}

func comes(before map[int]int, d, k int) bool {
	return k == -d || k != d && before[k-1] < before[k+1]
}

// wayBack follows the way from its end.
func wayBack(reach []map[int]int, old, new []string) []step {
	var out []step
	i, k := len(old), len(old)-len(new)
	for d := len(reach) - 1; d >= 0; d-- {
		from := 0
		if d > 0 {
			from = enter(reach[d-1], d, k)
		}
		for ; i > from; i-- {
			out = append(out, step{' ', old[i-1]})
		}
		switch {
		case d == 0:
		case comes(reach[d-1], d, k):
			out = append(out, step{'+', new[i-k-1]})
			k++
		default:
			i--
			out = append(out, step{'-', old[i]})
			k--
		}
	}
	slices.Reverse(out)
	return out
}
