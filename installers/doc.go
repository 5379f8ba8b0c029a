// Package installers puts certificates into other servers, and never leaves one
// worse than it was found. A server's own package says what is to change and how
// the server is tested and reloaded; the way there and back is here, once.
//
//	Detect -> Plan -> Precheck -> Stage -> Test -> Activate -> Verify -> Commit
//	            |                   '---------'--------'---------'-> Undo
//	            '-> --plan prints it and stops
//
// A Plan is made without changing anything. Stage writes it, each step noted in
// the journal before it is made; the journal is certbot's (backups, IN_PROGRESS,
// temp_checkpoint), so that either program undoes what the other did. Only what
// the live server shows in a TLS handshake counts as success: exit codes, pauses
// and pid files do not.
//
// Nothing here knows ACME, lineages or the command line.
package installers
