// Package accounts keeps ACME accounts where certbot does, and as certbot does, so
// that either program uses what the other has registered (certbot: account.py):
//
//	accounts/<host[:port]>/<path of the directory's URL>/<id>/
//	    private_key.json  JWK, 0400   certbot makes RSA keys, and takes EC ones too
//	    meta.json         when and where it was made
//	    regr.json         the account's URL; contacts only in certbot 0.x's
//	    next_key.json     ours: a key to change to
//
//	NewKey: private_key.json -> the CA registers -> Save: meta.json, regr.json
//
// The id is the MD5 of the public key in PEM form. A folder without regr.json is no
// account yet: certbot passes over it, and the next NewKey takes its key, so that
// whoever died after the CA had heard of a key finds that account. A file that is
// there and cannot be read is worse: certbot ends with a traceback. So every file is
// whole or absent, and regr.json comes last and goes before nothing but the key.
//
// A folder whose name is not its key's id works in certbot once: it then writes the
// key's id into the renewal file, and finds no such folder the next time. After a
// change of the key the folder therefore gets the new name, and meta.json notes the
// old one ("edge_former_ids", which certbot ignores): whoever owns the renewal files
// has to change `account = ` there, see Info.Is.
//
// Let's Encrypt's v2 servers share the accounts of their v1 servers. certbot links the
// folders; what it has linked is followed here, and what it would link is read.
package accounts
