package hooks

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Directory returns the hooks in a folder such as renewal-hooks/deploy: the
// executable files, without those whose names end in "~" (an editor's backups),
// in the order of the bytes of their paths. A folder that is not there has none.
func Directory(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if path := filepath.Join(dir, e.Name()); !strings.HasSuffix(path, "~") && isExecutable(path) {
			out = append(out, path)
		}
	}
	slices.Sort(out)
	return out, nil
}

// NotFoundError says why Validate refused a command, in certbot's words.
type NotFoundError struct{ text string }

func (e *NotFoundError) Error() string { return e.text }

// Validate checks that the first word of a command is a program: a path, or a
// name in the PATH given, with the folders that Runner adds. Like certbot it
// knows nothing of the shell's own words, quotes and assignments; for those there
// is --disable-hook-validation. An empty command is fine.
func Validate(kind Kind, command, pathEnv string) error {
	if command == "" {
		return nil
	}
	words := strings.Fields(command)
	if len(words) == 0 {
		return &NotFoundError{fmt.Sprintf("The %s command is blank.", kind)}
	}
	cmd := words[0]
	dirs := filepath.SplitList(pathEnv)
	wide := pathEnv
	if !inPath(cmd, dirs) {
		wide = widen(pathEnv)
		dirs = filepath.SplitList(wide)
	}
	if inPath(cmd, dirs) {
		return nil
	}
	if _, err := os.Stat(cmd); err == nil {
		return &NotFoundError{fmt.Sprintf("%s command %s exists, but is not executable.", kind, cmd)}
	}
	return &NotFoundError{fmt.Sprintf("Unable to find %s command %s in the PATH.\n(PATH is %s)\nSee also the --disable-hook-validation option.", kind, cmd, wide)}
}

func inPath(cmd string, dirs []string) bool {
	if strings.Contains(cmd, "/") {
		return isExecutable(cmd)
	}
	return slices.ContainsFunc(dirs, func(dir string) bool { return isExecutable(filepath.Join(dir, cmd)) })
}

// isExecutable follows symbolic links.
func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && unix.Access(path, unix.X_OK) == nil
}
