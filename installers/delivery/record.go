package delivery

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"edge"
)

// record is what is remembered of a delivery between runs. It is written before
// anything is changed and after all that was.
type record struct {
	Name     string `json:"name"`
	Target   string `json:"target"`
	Where    string `json:"where"`
	Settings string `json:"settings"` // of the target, when it was put last
	// Leaf and Chain are of what was delivered last; empty: nothing was.
	Leaf  string `json:"sha256,omitempty"`
	Chain string `json:"chain_sha256,omitempty"`
	// Data is the target's own note about what was delivered last.
	Data json.RawMessage `json:"data,omitempty"`
	// Begun is the leaf of a delivery that was begun and did not come to an end.
	Begun string `json:"begun,omitempty"`

	Delivered time.Time `json:"delivered,omitzero"`
	Verified  time.Time `json:"verified,omitzero"` // when the live server was last seen to show it
	Attempt   time.Time `json:"attempt,omitzero"`
	Failures  int       `json:"failures,omitempty"` // in a row
	Error     string    `json:"error,omitempty"`
	// Later is why what was tried waits for its time; nothing is wrong with it.
	Later string `json:"later,omitempty"`
	// Tried is the leaf that the last attempt was made with.
	Tried string `json:"tried,omitempty"`

	State  State     `json:"state,omitempty"` // when it was last looked at
	Looked time.Time `json:"looked,omitzero"`
}

// maxRecord bounds a record that is read, in bytes.
const maxRecord = 1 << 20

// recordPath names the record of a delivery: the name for people, and a part of a
// hash, since the place may be any text.
func (e *Engine) recordPath(it *Item) string {
	sum := sha256.Sum256([]byte(it.Name + "\x00" + it.Target.Kind() + "\x00" + it.Target.Where()))
	return filepath.Join(e.Dir, edge.FileName(it.Name)+"."+it.Target.Kind()+"."+hex.EncodeToString(sum[:6])+".json")
}

// load returns the record of a delivery; an empty one where there is none yet.
func (e *Engine) load(it *Item) (*record, error) {
	path := e.recordPath(it)
	r := &record{}
	b, err := readRegular(path, maxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(b, r)
	}
	if err != nil {
		return nil, fmt.Errorf("record %s: %w; remove it, the delivery is then made anew", path, err)
	}
	return r, nil
}

func (e *Engine) save(it *Item, r *record) error {
	r.Name, r.Target, r.Where = it.Name, it.Target.Kind(), it.Target.Where()
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := e.Durable.WriteFile(e.recordPath(it), append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("record of the delivery: %w", err)
	}
	return nil
}

// readRegular reads a file of at most limit bytes, which is no link, FIFO or device.
func readRegular(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read-only
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("not a regular file (%s)", info.Mode())
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("more than %d bytes", limit)
	}
	return b, err
}

// Records are what is known of all deliveries that were ever tried, from the records in a
// folder, by name, kind and place. Those that cannot be read are left out, and told of in
// the error.
func Records(dir string) ([]Result, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []Result
	var errs []error
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) != ".json" {
			continue
		}
		var r record
		path := filepath.Join(dir, entry.Name())
		b, err := readRegular(path, maxRecord)
		if err == nil {
			err = json.Unmarshal(b, &r)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("record %s: %w", path, err))
			continue
		}
		list = append(list, r.known())
	}
	slices.SortFunc(list, func(a, b Result) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Target, b.Target), strings.Compare(a.Where, b.Where))
	})
	return list, errors.Join(errs...)
}

// known is how a delivery stood when it was last looked at.
func (r *record) known() Result {
	res := Result{
		Name: r.Name, Target: r.Target, Where: r.Where, State: r.State, SHA256: r.Leaf,
		Delivered: r.Delivered, Verified: r.Verified, Attempt: r.Attempt, Failures: r.Failures, Error: r.Error, Later: r.Later, Next: r.again(),
	}
	if res.State == "" {
		res.State = Pending
	}
	return res
}
