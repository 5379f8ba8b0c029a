// Package selfcheck asks a site for the answer to an HTTP-01 challenge as a CA is going
// to: over port 80 of the name, following redirects (RFC 8555 section 8.3). A CA that is
// sent to look too early counts that as a failure, and allows few.
//
// What this machine cannot reach, a CA may: that is a warning. A site that is reached and
// says something else is an error.
package selfcheck
