// Package nginx installs certificates into nginx and its kin, and proves control of
// names by them.
//
//	Detect   the program, its version, nginx.conf, the master process
//	Plan     conf.Load -> nginx -T read the same files -> pick server blocks
//	         -> certificate -> redirect -> HSTS -> stapling, each an Edits on the Set
//	         -> what nginx would choose then has to show the certificate
//	Present  the same for answers of HTTP-01 and TLS-SNI-01, taken back by Cleanup
//
// Which blocks are meant is decided as certbot decides (conf.HTTP.Rank), and then held
// against what nginx does (conf.HTTP.Choose). What is written carries certbot's
// comments, so that either program finds its own again. Writing, undoing and verifying
// are those of package installers.
package nginx
