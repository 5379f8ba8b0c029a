package conf

import (
	"fmt"
	"strings"
)

const diffContext = 3

// Diff returns the change as a unified diff, empty when nothing differs.
func (c Change) Diff() string {
	if c.Old == c.New && !c.Created {
		return ""
	}
	from := c.Path
	if c.Created {
		from = "/dev/null"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "--- %s\n+++ %s\n", from, c.Path)
	steps := compare(splitLines(c.Old), splitLines(c.New))
	for i := 0; i < len(steps); {
		if steps[i].kind == ' ' {
			i++
			continue
		}
		// A hunk ends where more than twice the context is the same.
		first, last := i, i
		for j := i; j < len(steps) && j <= last+2*diffContext+1; j++ {
			if steps[j].kind != ' ' {
				last = j
			}
		}
		writeHunk(&b, steps, max(0, first-diffContext), min(len(steps), last+1+diffContext))
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

// maxTable bounds the cells of the table of common lines; beyond, what differs in the
// middle is shown as taken out and put in.
const maxTable = 4 << 20

// compare finds the longest common lines of what is left after the common beginning
// and the common end.
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

func compareMiddle(old, new []string) []step {
	var out []step
	width := len(new) + 1
	// common[i*width+j] is how many lines old[i:] and new[j:] have in common.
	var common []int32
	if (len(old)+1)*width <= maxTable {
		common = make([]int32, (len(old)+1)*width)
		for i := len(old) - 1; i >= 0; i-- {
			for j := len(new) - 1; j >= 0; j-- {
				if old[i] == new[j] {
					common[i*width+j] = common[(i+1)*width+j+1] + 1
				} else {
					common[i*width+j] = max(common[(i+1)*width+j], common[i*width+j+1])
				}
			}
		}
	}
	i, j := 0, 0
	for i < len(old) || j < len(new) {
		switch {
		case i < len(old) && j < len(new) && common != nil && old[i] == new[j]:
			out = append(out, step{' ', old[i]})
			i, j = i+1, j+1
		case i < len(old) && (j == len(new) || common == nil || common[(i+1)*width+j] >= common[i*width+j+1]):
			out = append(out, step{'-', old[i]})
			i++
		default:
			out = append(out, step{'+', new[j]})
			j++
		}
	}
	return out
}
