// Package installers puts certificates into other servers, and never leaves one
// worse than it was found. A server's own package says what is to change and how
// the server is tested and reloaded; the way there and back is here, once.
//
//	Detect -> Plan -> Precheck -> Stage -> Test -> Activate -> Verify -> Commit
//	            |                   '---------'--------'---------'-> Undo
//	            '-> Show prints it and stops
//
// A Plan is made without changing anything. The journal is certbot's (backups,
// IN_PROGRESS, temp_checkpoint), so that either program undoes what the other did,
// with a file EDGE in each checkpoint for what certbot has no room for. A checkpoint
// is written whole, with copies of all that is going to change, and gets its name in
// one step, before Stage changes the first file; it is finished, or taken away, in one
// step as well. Whoever dies in between leaves something that Recover, or certbot,
// takes back. A rollback is a plan too, made from checkpoints, with a journal of its
// own.
//
// Only what the live server shows in a TLS handshake counts as success: exit codes,
// pauses and pid files do not.
//
// Nothing here knows ACME, lineages or the command line.
package installers
