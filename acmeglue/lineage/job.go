package lineage

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"edge/internal/durable"
)

// job is a change that has begun: all that is needed to finish it, whatever is left
// of the process that began it. Applying one twice is applying it once.
type job struct {
	Action  string         `json:"action"`
	Version int            `json:"version,omitempty"`
	Archive string         `json:"archive"`         // folder
	Links   [4]string      `json:"links"`           // paths, in the order of Kinds
	Targets [4]string      `json:"targets"`         // what the links are to say
	Files   [4][]byte      `json:"files"`           // PEM; the key is among them
	KeyMode fs.FileMode    `json:"key_mode"`        // of privkey
	Owner   *durable.Owner `json:"owner,omitempty"` // of privkey
	Conf    []byte         `json:"conf,omitempty"`  // the renewal file to be
	Base    string         `json:"base,omitempty"`  // digest of the renewal file that was there
	Own     bool           `json:"own,omitempty"`   // delete: the versions in Archive are the lineage's
	name    string         // of the lineage: that of the file
}

// The actions, as errors name them.
const (
	actionCreate = "create"
	actionRenew  = "renew"
	actionDelete = "delete"
)

const jobSuffix = ".job"

// jobPath is in the archive, which nobody but its owner can read: a job has a key in
// it. certbot does not look at what else is there.
func (t *Tree) jobPath(name string) string {
	return filepath.Join(t.archiveDir(), "."+name+jobSuffix)
}

// jobs are the names of lineages that have one.
func (t *Tree) jobs() ([]string, error) { return t.marked(jobSuffix) }

// marked are the names of lineages for which there is a hidden file with a suffix.
func (t *Tree) marked(suffix string) ([]string, error) {
	entries, err := readDir(t.archiveDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		name, hidden := strings.CutPrefix(e.Name(), ".")
		name, ok := strings.CutSuffix(name, suffix)
		if hidden && ok && checkName(name) == nil {
			names = append(names, name)
		}
	}
	return names, nil
}

// readJob returns nil where there is none.
func (t *Tree) readJob(name string) (*job, error) {
	path := t.jobPath(name)
	data, _, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	j := &job{name: name}
	if err := json.Unmarshal(data, j); err != nil {
		return nil, fmt.Errorf("job %s: %w; look at it, then remove it", path, err)
	}
	if err := j.check(); err != nil {
		return nil, fmt.Errorf("job %s: %w; look at it, then remove it", path, err)
	}
	return j, nil
}

// check refuses what we do not write.
func (j *job) check() error {
	paths := append([]string{j.Archive}, j.Links[:]...)
	for _, p := range paths {
		if !filepath.IsAbs(p) || p != filepath.Clean(p) {
			return fmt.Errorf("%.80q is not an absolute path", p)
		}
	}
	switch j.Action {
	case actionDelete:
		return nil
	case actionCreate, actionRenew:
	default:
		return fmt.Errorf("unknown action %.20q", j.Action)
	}
	if j.KeyMode != carriedMode(j.KeyMode) {
		return fmt.Errorf("mode %v is not one of a key", j.KeyMode)
	}
	for _, kind := range Kinds() {
		k, n, ok := parseArchived(filepath.Base(j.Targets[kind]))
		if !ok || k != kind || n != j.Version {
			return fmt.Errorf("%.80q is not %s of version %d", j.Targets[kind], kind, j.Version)
		}
	}
	return nil
}

// begin writes the job down. From here on it will be done.
func (t *Tree) begin(j *job) error {
	data, err := json.Marshal(j)
	if err != nil {
		return err
	}
	if len(data) > maxFile {
		return fmt.Errorf("%s lineage %s: %d bytes in all; at most %d are possible", j.Action, j.name, len(data), maxFile)
	}
	return t.w.WriteFile(t.jobPath(j.name), data, 0o600)
}

// finish applies a job and removes it. The error is a *PendingError, or wraps
// errObsolete: then the job is gone.
func (t *Tree) finish(j *job) error {
	err := t.apply(j)
	obsolete := errors.Is(err, errObsolete)
	switch {
	case obsolete:
		err = t.drop(j)
	case err == nil:
		if err = t.w.Remove(t.jobPath(j.name)); err != nil && !lexists(t.jobPath(j.name)) {
			// It is done. After a power cut, the job may be there again, and is done again.
			t.log.Warn(fmt.Sprintf("%s lineage %s: %v", j.Action, j.name, err))
			err = nil
		}
	}
	if err != nil {
		return &PendingError{j.name, j.Action, err}
	}
	if obsolete {
		return fmt.Errorf("%s lineage %s: %w", j.Action, j.name, errObsolete)
	}
	return nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
