package certbotcli

import "strings"

// closest returns the one of the words that was most likely meant, or "".
func closest(word string, words []string) string {
	best, found := max(1, len(word)/3)+1, ""
	for _, w := range words {
		if d := distance(word, w, best); d < best {
			best, found = d, w
		}
	}
	return found
}

// distance is how many letters have to be put in, left out, exchanged or swapped
// with the next one; limit or more where it is not less than that.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit || len(a) > 64 || len(b) > 64 {
		return limit
	}
	before, above := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above = above, row
	}
	return above[len(b)]
}

// strangePlugin returns the plugin that a flag belongs to, where it is one that
// edge does not have: dns-hetzner for --dns-hetzner-credentials, or "" .
func strangePlugin(flag string) string {
	name := strings.TrimPrefix(flag, "--")
	if plugin, _, ok := strings.Cut(name, ":"); ok {
		return plugin
	}
	if !strings.HasPrefix(name, "dns-") {
		return ""
	}
	for _, end := range []string{"-propagation-seconds", "-credentials", "-project", "-propagation", "-config"} {
		name = strings.TrimSuffix(name, end)
	}
	if known(name) {
		return ""
	}
	return name
}
