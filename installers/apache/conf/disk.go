package conf

import (
	"os"

	"edge/installers/overlay"
)

// disk is the file system, with what is to be written laid over it.
type disk struct{ *overlay.Files }

func newDisk() *disk { return &disk{overlay.New(maxFileBytes)} }

// isDir says whether a name is that of a folder.
func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}
