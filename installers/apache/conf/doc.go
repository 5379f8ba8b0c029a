// Package conf reads Apache httpd's configuration language as httpd itself reads it,
// and changes it without touching a byte that does not have to change.
//
//	Parse  one file            -> File: directives, sections, words, each with its bytes
//	Load   the main file, Env  -> Set: every file that httpd would read, conditions decided
//	Set.Root                   -> Node: the directives that count, includes and macros done
//	Set.Hosts                  -> VirtualHost: addresses, names, TLS
//	Edits -> Set.With          -> a new Set, not yet on disk; Set.Changes are its bytes
//
// Lines are joined and split into words by the rules of ap_cfg_getline and
// ap_getword_conf; sections have to be closed in the file that opens them, also where a
// condition leaves them out. What httpd refuses there is an error here, with file, line
// and column; a file that nothing includes does not matter. What a directive means is
// known of those alone that this package or its users ask for: configtest is the judge
// of the rest.
//
// The package reads configuration files and nothing else: no certificates, no network,
// no processes. Writing, testing and reloading are for others. It needs the standard
// library and edge/internal/diff alone.
package conf
