// Package accesslog writes one line for each finished request, as JSON or in the
// combined format, and makes edge's own logger. What clients sent is escaped and
// secrets in queries are hidden, so that a line is always one line and safe to keep.
package accesslog
