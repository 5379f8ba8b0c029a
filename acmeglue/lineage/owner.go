package lineage

import (
	"io/fs"
	"syscall"

	"edge/internal/durable"
)

// attrOf is what a file has and its next version is to have.
func attrOf(info fs.FileInfo) durable.Attr {
	attr := durable.Attr{Mode: info.Mode().Perm()}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		attr.Owner = &durable.Owner{UID: int(s.Uid), GID: int(s.Gid)}
	}
	return attr
}
