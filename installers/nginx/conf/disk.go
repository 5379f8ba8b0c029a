package conf

import "edge/installers/overlay"

// disk is the file system, with what is to be written laid over it.
type disk struct{ *overlay.Files }

func newDisk() *disk { return &disk{overlay.New(maxFileBytes)} }
