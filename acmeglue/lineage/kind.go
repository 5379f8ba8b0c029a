package lineage

import (
	"regexp"
	"strconv"
)

// Kind is one of the four files that a lineage has in each version.
type Kind uint8

// The kinds, in certbot's order.
const (
	Cert      Kind = iota // the leaf
	PrivKey               // secret
	Chain                 // what comes after the leaf
	FullChain             // both
)

// Kinds are all four.
func Kinds() [4]Kind { return [...]Kind{Cert, PrivKey, Chain, FullChain} }

// String is the kind as it is in names of files and keys of renewal files.
func (k Kind) String() string { return [...]string{"cert", "privkey", "chain", "fullchain"}[k] }

// live is the name of the link in the live folder.
func (k Kind) live() string { return k.String() + ".pem" }

// archived is the name of the file of a version.
func (k Kind) archived(version int) string { return k.String() + strconv.Itoa(version) + ".pem" }

// archiveName is what certbot takes for a file of a version. More digits than these
// are not believed.
var archiveName = regexp.MustCompile(`^(cert|privkey|chain|fullchain)([1-9][0-9]{0,8})\.pem$`)

// parseArchived splits the name of a file in an archive folder.
func parseArchived(name string) (k Kind, version int, ok bool) {
	m := archiveName.FindStringSubmatch(name)
	if m == nil {
		return 0, 0, false
	}
	version, err := strconv.Atoi(m[2])
	for _, k := range Kinds() {
		if k.String() == m[1] {
			return k, version, err == nil
		}
	}
	return 0, 0, false
}
