package configobj

import "strings"

// What ConfigObj looks for at the ends of a value that it could leave without quotes.
const quotesWanted = " \r\n\v\t'\""

// forms are the ways to write a value, beginning with ConfigObj's. There may be
// none that can be read back.
func forms(v Value) []string {
	if !v.List {
		s := v.Items[0]
		triple := []string{"'''" + s + "'''", `"""` + s + `"""`}
		if strings.Contains(s, `"""`) {
			triple[0], triple[1] = triple[1], triple[0]
		}
		if strings.Contains(s, "\n") || strings.Contains(s, "'") && strings.Contains(s, `"`) {
			return triple
		}
		return append(oneLine(s), triple...)
	}
	if len(v.Items) == 0 {
		return []string{","}
	}
	var items []string
	for _, s := range v.Items {
		form := readable(oneLine(s), func(form string) bool {
			got, remark, ok := parseValue(form + ",")
			return ok && remark == "" && got.Equal(List(s))
		})
		if form == "" {
			return nil
		}
		items = append(items, form)
	}
	if len(items) == 1 {
		return []string{items[0] + ","}
	}
	return []string{strings.Join(items, ", ")}
}

// oneLine are the ways to write a key, a name, or an item of a list.
func oneLine(s string) []string {
	quoted := []string{`"` + s + `"`, "'" + s + "'"}
	if strings.Contains(s, `"`) {
		quoted[0], quoted[1] = quoted[1], quoted[0]
	}
	if s == "" || strings.ContainsAny(s[:1]+s[len(s)-1:], quotesWanted) || strings.ContainsAny(s, ",#") {
		return quoted
	}
	return append([]string{s}, quoted...)
}

// readable is the first form that is read as it was meant, or "".
func readable(forms []string, ok func(form string) bool) string {
	for _, form := range forms {
		if ok(form) {
			return form
		}
	}
	return ""
}
