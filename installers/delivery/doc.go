// Package delivery brings certificates to where they are used, and keeps them there.
// A delivery is one certificate for one target (a folder of files, a program, a web
// server). What is wanted comes from the configuration and the certificate; what was
// done is in a record; what is true is seen by looking: at the target, and at what
// the live server shows in a TLS handshake.
//
//	Look:  record, target, handshakes -> what differs -> actions, or in sync
//	Apply: Look -> begin (record) -> Put -> reload -> handshakes -> commit (record)
//	                                  '--------'---------'-> undo, reload, failed (record)
//
// Every Apply begins by looking, so that whatever was interrupted, undone or changed
// by somebody else is put right by the next run, and nothing is done where all is well.
//
// Targets are sub-packages of installers. Nothing here knows the configuration, the
// admin socket or the tree of lineages.
package delivery
