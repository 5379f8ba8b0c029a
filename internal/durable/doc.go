// Package durable writes files so that a crash leaves the old content or the
// new, never a mixture: temporary file, fsync, rename, fsync of the folder.
// Tests number its steps and fail or kill at each in turn.
package durable
