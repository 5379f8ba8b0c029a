package lineage

import (
	"path/filepath"
	"slices"
)

// versions says which version of which kind is in a folder.
type versions map[int][4]bool

func readVersions(dir string) (versions, error) {
	entries, err := readDir(dir)
	if err != nil {
		return nil, err
	}
	all := versions{}
	for _, e := range entries {
		if kind, n, ok := parseArchived(e.Name()); ok {
			have := all[n]
			have[kind] = true
			all[n] = have
		}
	}
	return all, nil
}

// of lists those of one kind, ascending.
func (v versions) of(kind Kind) []int {
	var list []int
	for n, have := range v {
		if have[kind] {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list
}

// complete lists those of which all four kinds are there, ascending.
func (v versions) complete() []int {
	var list []int
	for n, have := range v {
		if have == [4]bool{true, true, true, true} {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list
}

// next is free for all kinds.
func (v versions) next() int {
	highest := 0
	for n := range v {
		highest = max(highest, n)
	}
	return highest + 1
}

// Versions are those of a kind in the archive, ascending.
func (l *Lineage) Versions(kind Kind) ([]int, error) {
	v, err := readVersions(l.archive)
	if err != nil {
		return nil, err
	}
	return v.of(kind), nil
}

// LatestVersion is the newest version that the archive has all four files of, or 0.
func (l *Lineage) LatestVersion() (int, error) {
	v, err := readVersions(l.archive)
	if err != nil {
		return 0, err
	}
	if all := v.complete(); len(all) > 0 {
		return all[len(all)-1], nil
	}
	return 0, nil
}

// Version is the one that the links point to, or 0 where they do not agree or point
// to something that is not named as a version.
func (l *Lineage) Version() int {
	version := 0
	for i, kind := range Kinds() {
		n := l.linked(kind)
		if n == 0 || i > 0 && n != version {
			return 0
		}
		version = n
	}
	return version
}

// linked is the version that one link points to, or 0.
func (l *Lineage) linked(kind Kind) int {
	k, n, ok := parseArchived(filepath.Base(l.links[kind].target))
	if !ok || k != kind {
		return 0
	}
	return n
}
