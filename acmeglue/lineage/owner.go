package lineage

import (
	"io/fs"
	"os"
	"syscall"

	"edge/internal/durable"
)

// attrOf is what a file has and its next version is to have. Who is not root cannot
// give files away.
func attrOf(info fs.FileInfo) durable.Attr {
	attr := durable.Attr{Mode: info.Mode().Perm()}
	if s, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		attr.Owner = &durable.Owner{UID: int(s.Uid), GID: int(s.Gid)}
	}
	return attr
}

// groupOf is the group of a file alone.
func groupOf(info fs.FileInfo) *durable.Owner {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return &durable.Owner{UID: -1, GID: int(s.Gid)}
	}
	return nil
}
