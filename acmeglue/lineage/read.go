package lineage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// maxFile bounds the files that are read, in bytes. The largest chains have some
// ten thousand.
const maxFile = 1 << 20

// readFile reads a regular file of at most maxFile bytes. Anything else that can
// have a name, such as a pipe that nobody writes to, is refused.
func readFile(path string) ([]byte, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close() // read-only: nothing can be lost
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("read %s: not a regular file", path)
	}
	if info.Size() > maxFile {
		return nil, nil, fmt.Errorf("read %s: %d bytes; at most %d are read", path, info.Size(), maxFile)
	}
	// It may grow while it is read.
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("read %s: more than %d bytes", path, maxFile)
	}
	return data, info, err
}

// maxEntries bounds the folders that are read.
const maxEntries = 100_000

// readDir lists a folder in no particular order.
func readDir(dir string) ([]fs.DirEntry, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read-only: nothing can be lost
	entries, err := f.ReadDir(maxEntries + 1)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err == nil && len(entries) > maxEntries {
		err = fmt.Errorf("read folder %s: more than %d entries", dir, maxEntries)
	}
	return entries, err
}

// exists follows links, as os.path.exists does.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// lexists does not follow links.
func lexists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
