package configobj

import (
	"slices"
	"strings"
)

// Value is what a key has: a string, or a list of strings. Files know no other
// types, so that True and "True" are one.
type Value struct {
	List  bool
	Items []string // one, where List is false
}

// String returns a value that is a string.
func String(s string) Value { return Value{Items: []string{s}} }

// List returns a value that is a list, also of one item or none.
func List(items ...string) Value { return Value{List: true, Items: items} }

// String is for people: a list has commas between its items.
func (v Value) String() string { return strings.Join(v.Items, ", ") }

// Equal reports whether two values are the same; a list of one is not that one.
func (v Value) Equal(w Value) bool { return v.List == w.List && slices.Equal(v.Items, w.Items) }
