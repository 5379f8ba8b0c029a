// Package script hands a certificate to somebody's program: as certbot hands it to a
// deploy hook, or as acme.sh hands it to one of its own. What the program does with
// it cannot be seen, nor undone: that it ended well, and what the live server shows
// then where one is named, is all there is to know.
package script
