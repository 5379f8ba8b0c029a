// Package apache installs certificates into Apache httpd, and proves control of names by
// it.
//
//	Detect   the layout of the distribution, the program, its version and built-in modules
//	Plan     conf.Load -> pick virtual hosts -> a twin for HTTPS, or the host itself
//	         -> certificate -> Listen, modules, site -> headers, redirect, stapling
//	         -> conf.Set.With: what comes of it is read again and has to show each name
//	Present  the same for answers of HTTP-01 and TLS-SNI-01, taken back by Cleanup
//
// Which virtual hosts are meant is decided as certbot decides, among those that httpd
// reads. What is written is what certbot writes, so that either program finds its own
// again; lines that need not change keep every byte. Writing, undoing and verifying are
// those of package installers.
//
// It differs from certbot on purpose: hosts that a condition leaves out are not taken for
// hosts, but for mod_ssl, which is turned on; a directive that is there gets its new value
// where it stands, and one in a file that others include as well is left alone; a name
// with a * gets a condition that it meets; a host that was made to redirect is enabled;
// what cannot be enhanced still gets its certificate, with a warning; the port of
// redirects is that of --https-port; a port that another program has is refused before
// anything is changed, since httpd would end when it reloads.
package apache
