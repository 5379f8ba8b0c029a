// Package files keeps a certificate in a folder, for programs that nobody has written an
// installer for: in the layout, under the names, and with the owner and mode that they
// want.
//
//	DIR/fullchain.pem        -> .edge-NAME/current/fullchain.pem
//	DIR/privkey.pem          -> .edge-NAME/current/privkey.pem
//	DIR/.edge-NAME/current   -> 7
//	DIR/.edge-NAME/7/          the files
//	DIR/.edge-NAME/6/          those before, for an undo by hand
//	DIR/.edge-NAME/0/          what somebody else had under these names, until the second delivery
//
// All files change in one step, the rename of current, so that a program that starts at
// any moment finds a key and a certificate that belong together. Programs that keep a
// path keep a link, and get the new file when they open it again.
//
// Root writes here what others read, so that nobody but root may be able to write to
// DIR or to a folder above it: the files belong to whom they have to, the folder to root.
package files
