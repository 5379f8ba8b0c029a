package files

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"edge/installers/delivery"
)

// Look implements delivery.Target: each file is what was put, for whom it was put.
func (t *Target) Look(_ context.Context, m *delivery.Material, raw json.RawMessage) ([]string, error) {
	d, err := parseData(raw)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, p := range slices.Sorted(maps.Keys(t.o.Names)) {
		if why := t.differs(p, d); why != "" {
			list = append(list, filepath.Join(t.o.Dir, t.o.Names[p])+" "+why)
		}
	}
	return list, nil
}

func (t *Target) differs(p Part, d data) string {
	name := t.o.Names[p]
	f, err := os.OpenFile(filepath.Join(t.o.Dir, name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "is missing"
	}
	if err != nil {
		return "cannot be read: " + err.Error()
	}
	defer f.Close() // read-only
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return "is not a regular file"
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKept))
	if err != nil {
		return "cannot be read: " + err.Error()
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != d.Sums[name] {
		return "is not what was put there"
	}
	mode := t.o.Mode
	if p == Cert || p == Chain || p == Fullchain {
		mode = publicMode
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case info.Mode().Perm() != mode:
		return fmt.Sprintf("has mode %#o, not %#o", info.Mode().Perm(), mode)
	case ok && (t.o.Owner.UID >= 0 && t.o.Owner.UID != int(st.Uid) || t.o.Owner.GID >= 0 && t.o.Owner.GID != int(st.Gid)):
		return fmt.Sprintf("belongs to %d:%d", st.Uid, st.Gid)
	case !t.opens(bytes.Clone(b)):
		return "has another password"
	}
	return ""
}
