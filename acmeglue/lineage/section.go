package lineage

import "edge/internal/configobj"

// Section is a section of the renewal file for those who know its keys, nil where
// it is not there. It is not to be changed: see SetParams.
func (l *Lineage) Section(name string) *configobj.Section { return l.conf.doc.Root().Section(name) }
