// Package runlog keeps letsencrypt.log as certbot does: one file a run, the older
// ones beside it, everything at debug level in it, and what matters on the terminal.
//
//	slog.Logger -> Redactor     no private key, password or token goes any further
//	                 -> lines   letsencrypt.log: all; standard error: as -q and -v ask for
//
// Where the folder cannot be used, the log is a file in a temporary folder, as with
// certbot, so that there is something to look at after a failure.
//
// Whoever opens a log holds the lock of its folder (internal/flock): nothing here
// keeps two runs from rotating at the same time.
package runlog
