// Package conf reads nginx's configuration language as nginx itself reads it, and
// changes it without touching a byte that does not have to change.
//
//	Parse  one file            -> File: directives, words, comments, each with its bytes
//	Load   nginx.conf          -> Set: every file that nginx would open, includes followed
//	Set.HTTP                   -> HTTP: server blocks, what they listen on, their names
//	HTTP.Choose address, name  -> the server block that nginx lets answer
//	HTTP.Rank   name           -> the server blocks that certbot would take, best first
//	Edits -> Set.With          -> a new Set, not yet on disk; Set.Changes are its bytes
//
// Words are split by the rules of ngx_conf_read_token, limits included, and blocks of
// Lua by those of lua-nginx-module: what nginx refuses there is an error here, with
// file, line and column, and nothing is skipped. What a directive means is known of
// http, server, listen, server_name, include and the certificate directives alone:
// nginx -t is the judge of the rest.
//
// The package reads configuration files and nothing else: no certificates, no network,
// no processes. Writing, testing and reloading are for others. It needs the standard
// library alone.
package conf
