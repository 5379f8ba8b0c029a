package lineage

import (
	"bytes"
	"fmt"
)

// SetParams changes the renewal file.
func (l *Lineage) SetParams(p Params) error {
	if err := l.reload(); err != nil {
		return err
	}
	data, err := l.conf.changed(l, &p)
	if err != nil {
		return err
	}
	if bytes.Equal(data, l.conf.raw) {
		return nil
	}
	if err := l.tree.w.WriteFileAs(l.conf.file, data, l.conf.attr); err != nil {
		return fmt.Errorf("lineage %s: %w", l.name, err)
	}
	return l.reload()
}
