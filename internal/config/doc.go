// Package config reads edge's YAML configuration, strictly: every error of a
// file in one go, with its place. It turns files or flags into a Config, plain
// data that cmd/edge maps onto the options of the other packages. It is the one
// home of the YAML library.
package config
