// Package external has a script of the user's answer challenges: the contract is that of
// marcan's certbot-external, and, for what is not TLS-SNI-01, of its successor
// certbot-external-auth.
//
//	Present  certificates into files -> pre-perform -> perform, each -> post-perform
//	Cleanup  pre-cleanup -> cleanup, each -> post-cleanup -> files away
//
// The command is the one argument; all else is in lower-case environment variables.
// What was begun is noted in a file for each challenge, so that the next run has the
// script clean up after one that was killed.
package external
