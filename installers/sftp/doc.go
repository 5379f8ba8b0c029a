// Package sftp brings certificates to another machine by SSH, and answers HTTP-01 from a
// web server's folder there.
//
//	Put      look at what is there -> .NAME.edge, each -> rename, the key first -> command
//	Undo     what was there -> .NAME.edge, each -> rename -> command
//	Present  WEBROOT/.well-known/acme-challenge/TOKEN; Cleanup removes it
//
// The other machine's host key is always checked. Nothing of edge has to be there: an
// SFTP server, and a shell where a command is to be run. The command is the user's own
// line for that shell; nothing that comes from elsewhere gets into it.
//
// golang.org/x/crypto/ssh and github.com/pkg/sftp are at home here.
package sftp
