package lineage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const owedSuffix = ".owed"

// owedPath is a file that is there from before a version is made until its deploy
// hooks have run. In it is the version. Like a job, it is nothing to certbot.
func (t *Tree) owedPath(name string) string {
	return filepath.Join(t.archiveDir(), "."+name+owedSuffix)
}

// owe comes before the job, so that no crash loses hooks. Where it is left behind
// without the version, Repair removes it.
func (t *Tree) owe(name string, version int) error {
	return t.w.WriteFile(t.owedPath(name), []byte(strconv.Itoa(version)+"\n"), keyMode)
}

// HooksRan says that the deploy hooks of the version in use have run, which
// CreateOptions and RenewOptions promised and Repair asks for. It is called after
// them: who is killed in between has them run twice rather than never.
func (t *Tree) HooksRan(name string) error {
	path := t.owedPath(name)
	if checkName(name) != nil || !lexists(path) {
		return nil
	}
	if err := t.w.Remove(path); err != nil && lexists(path) {
		return fmt.Errorf("lineage %s: deploy hooks have run, and will run again: %w", name, err)
	}
	return nil
}

// repairOwed finds the lineages whose hooks never ran. It comes after everything
// else was repaired.
func (t *Tree) repairOwed() (done []Repaired, err error) {
	names, err := t.marked(owedSuffix)
	errs := []error{err}
	for _, name := range names {
		version, err := t.owedVersion(name)
		switch {
		case err != nil:
			errs = append(errs, err)
		case version == 0:
			errs = append(errs, t.HooksRan(name))
		default:
			done = append(done, Repaired{name, fmt.Sprintf("the deploy hooks for version %d did not run to their end", version), true})
		}
	}
	return done, errors.Join(errs...)
}

// owedVersion is 0 where nothing is owed: the version was never made, or somebody
// else has made another one since, and run hooks for that.
func (t *Tree) owedVersion(name string) (int, error) {
	data, _, err := readFile(t.owedPath(name))
	if err != nil {
		return 0, err
	}
	version, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0, nil // not ours
	}
	if _, err := os.Lstat(t.ConfPath(name)); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	l, err := t.Load(name)
	if err != nil {
		return 0, err
	}
	if l.Version() != version {
		return 0, nil
	}
	return version, nil
}
