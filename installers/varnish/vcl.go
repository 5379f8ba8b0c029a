package varnish

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"edge"
)

const (
	label  = "edge_acme"
	prefix = label + "_" // of the names of all VCLs that are ours
	empty  = prefix + "empty"
	swaps  = prefix + "swap_"
	folder = "/.well-known/acme-challenge/"
)

// line is what the user's VCL has to have, as the first statement of vcl_recv.
const line = `if (req.url ~ "^/\.well-known/acme-challenge/") { return (vcl(` + label + `)); }`

var (
	plainToken = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)
	plainName  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,127}$`)
)

// check wants what can be written into a VCL as it is.
func check(a edge.Answer) error {
	if a.Type != edge.HTTP01 {
		return fmt.Errorf("varnish answers %s, not %s", edge.HTTP01, a.Type)
	}
	rest, ok := strings.CutPrefix(a.KeyAuth, a.Token+".")
	if !plainToken.MatchString(a.Token) || !ok || !plainToken.MatchString(rest) {
		return fmt.Errorf("challenge for %s: the token or the key authorization is not base64url (RFC 8555 section 8.1)", clip(a.Identifier.Value))
	}
	return nil
}

// answers are key authorizations by token. All were checked.
type answers map[string]string

// vcl makes the VCL behind the label.
func (a answers) vcl() string {
	var b strings.Builder
	b.WriteString("vcl 4.0;\nbackend default { .host = \"127.0.0.1\"; .port = \"9\"; }\nsub vcl_recv {\n")
	for _, token := range slices.Sorted(maps.Keys(a)) {
		fmt.Fprintf(&b, "    if (req.url == \"%s%s\") { return (synth(200)); }\n", folder, token)
	}
	b.WriteString("    return (synth(404));\n}\nsub vcl_synth {\n    set resp.http.Content-Type = \"application/octet-stream\";\n")
	for _, token := range slices.Sorted(maps.Keys(a)) {
		fmt.Fprintf(&b, "    if (req.url == \"%s%s\") { synthetic(\"%s\"); }\n", folder, token, a[token])
	}
	b.WriteString("    return (deliver);\n}\n")
	return b.String()
}

// swapStatus and swapReason mark our answers in a VCL that is somebody else's.
const (
	swapStatus = 750
	swapReason = "edge-acme"
)

// before puts the answers in front of a VCL. Subs of one name are run in their order.
func (a answers) before(base, vcl string) (string, error) {
	at, err := afterVersion(vcl)
	if err != nil {
		return "", fmt.Errorf("VCL %s: %w", base, err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s\n%s\nsub vcl_recv {\n", replaces, base, vcl[:at])
	for _, token := range slices.Sorted(maps.Keys(a)) {
		fmt.Fprintf(&b, "    if (req.url == \"%s%s\") { return (synth(%d, \"%s\")); }\n", folder, token, swapStatus, swapReason)
	}
	fmt.Fprintf(&b, "}\nsub vcl_synth {\n    if (resp.status == %d && resp.reason == \"%s\") {\n", swapStatus, swapReason)
	b.WriteString("        set resp.status = 200;\n        set resp.reason = \"OK\";\n        set resp.http.Content-Type = \"application/octet-stream\";\n")
	for _, token := range slices.Sorted(maps.Keys(a)) {
		fmt.Fprintf(&b, "        if (req.url == \"%s%s\") { synthetic(\"%s\"); }\n", folder, token, a[token])
	}
	b.WriteString("        return (deliver);\n    }\n}\n")
	b.WriteString(vcl[at:])
	return b.String(), nil
}

// replaces begins the first line of such a VCL. The name of the other one follows.
const replaces = "# edge: replaces "

// replaced is the name of the VCL that ours took the place of.
func replaced(vcl string) (string, error) {
	first, _, _ := strings.Cut(vcl, "\n")
	name, ok := strings.CutPrefix(first, replaces)
	if !ok || !plainName.MatchString(name) {
		return "", errors.New("it does not say which one it replaces; load your own again: varnishadm vcl.load, vcl.use")
	}
	return name, nil
}

// afterVersion is where the statement "vcl 4.1;" ends, which comes before all but comments.
func afterVersion(vcl string) (int, error) {
	i := 0
	word := func(want string) bool {
		i = skipBlank(vcl, i)
		if !strings.HasPrefix(vcl[i:], want) {
			return false
		}
		i += len(want)
		return true
	}
	if !word("vcl") {
		return 0, errors.New("it does not begin with its version (vcl 4.1;)")
	}
	i = skipBlank(vcl, i)
	for i < len(vcl) && (vcl[i] >= '0' && vcl[i] <= '9' || vcl[i] == '.') {
		i++
	}
	if !word(";") {
		return 0, errors.New("there is no ; after its version")
	}
	return i, nil
}

// skipBlank passes over white space and comments.
func skipBlank(s string, i int) int {
	for i < len(s) {
		switch {
		case strings.IndexByte(" \t\r\n", s[i]) >= 0:
			i++
		case s[i] == '#' || strings.HasPrefix(s[i:], "//"):
			n := strings.IndexByte(s[i:], '\n')
			if n < 0 {
				return len(s)
			}
			i += n
		case strings.HasPrefix(s[i:], "/*"):
			n := strings.Index(s[i+2:], "*/")
			if n < 0 {
				return len(s)
			}
			i += n + 4
		default:
			return i
		}
	}
	return i
}

// program is an entry of vcl.list -j.
type program struct {
	Status string `json:"status"` // active, available, discarded
	State  string `json:"state"`  // label, auto, warm, cold
	Name   string `json:"name"`
	Label  struct {
		Name string `json:"name"`
		Refs int    `json:"refs"` // how many VCLs hand requests over to it
	} `json:"label"`
}

// parseList reads the answer to vcl.list -j: [2, [command], time, program...].
func parseList(text string) ([]program, error) {
	bad := func(err error) ([]program, error) { return nil, fmt.Errorf("vcl.list -j: %w", err) }
	var raw []json.RawMessage
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return bad(err)
	}
	if len(raw) < 4 || string(raw[0]) != "2" {
		return bad(errors.New("the answer is of another version"))
	}
	var list []program
	for _, r := range raw[3:] {
		var p program
		if err := json.Unmarshal(r, &p); err != nil {
			return bad(err)
		}
		if p.Status != "discarded" {
			list = append(list, p)
		}
	}
	return list, nil
}

func named(list []program, name string) *program {
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}

func active(list []program) (*program, error) {
	for i := range list {
		if list[i].Status == "active" {
			return &list[i], nil
		}
	}
	return nil, errors.New("no VCL is active")
}
