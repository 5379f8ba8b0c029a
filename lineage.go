package edge

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// ErrLineageName is wrapped by every error of CheckLineageName.
var ErrLineageName = errors.New("invalid lineage name")

// maxLineageName leaves room in a file name (255 bytes) for what certbot and edge
// put around the name.
const maxLineageName = 200

// CheckLineageName is the gate through which every name of a lineage passes
// before a file or a site is looked up for it. A name is what certbot takes for
// --cert-name, and nothing that a path, a listing or a log could be misled by.
func CheckLineageName(name string) error {
	bad := func(why string) error { return fmt.Errorf("%w %q: %s", ErrLineageName, clip(name), why) }
	switch {
	case name == "":
		return bad("it is empty")
	case len(name) > maxLineageName:
		return bad(fmt.Sprintf("it has %d bytes, %d are possible", len(name), maxLineageName))
	case name[0] == '.' || name[0] == '-':
		return bad("it begins with a dot or a hyphen")
	case strings.Contains(name, "/"):
		return bad("it has a slash")
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return bad("it has characters that cannot be printed")
	}
	return nil
}

// LineageStatus is what the front door has of a lineage that sites of its
// configuration use. SHA256, Names and NotAfter are those of the leaf that is
// stored, ChainSHA256 is that of all its chain; zero where none was put yet.
type LineageStatus struct {
	Name        string    `json:"name"`
	SHA256      string    `json:"sha256,omitempty"`       // of the leaf in DER form, hexadecimal
	ChainSHA256 string    `json:"chain_sha256,omitempty"` // of leaf and intermediates in DER form, one after the other
	Names       []string  `json:"names,omitempty"`        // subject alternative names
	NotAfter    time.Time `json:"not_after,omitzero"`
	Sites       []string  `json:"sites"`               // that use it, by the name of each
	Uncovered   []string  `json:"uncovered,omitempty"` // their hosts that the certificate is not for
}
