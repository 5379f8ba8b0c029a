// Package display talks to a person on a terminal as certbot does: its texts, its
// frames, its answers. Where nobody may be asked it says which flag would have
// answered.
//
//	steward -> AskEmail, ChooseNames, ConfirmDelete, ...   what is asked, in certbot's words
//	             -> Display   Terminal: print, wait for a line, ask again until it fits
//	                          NonInteractive: the default, or a *MissingError
//
// Whatever is printed passes Clean first: names, addresses and texts come from CAs
// and from other people's files, and must not be able to drive the terminal.
//
// Nothing here knows ACME, flags or trees. Log messages are no part of it:
// internal/runlog has those.
package display
