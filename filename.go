package edge

import "strings"

// FileName is the name of a lineage or a host as it can be in names of files: without
// the star of wildcards, which shells expand and HAProxy takes for a transaction, and
// without the colons of addresses.
func FileName(name string) string {
	return strings.NewReplacer("*", "_", "/", "_", ":", "-").Replace(name)
}
