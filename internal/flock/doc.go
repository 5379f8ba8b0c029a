// Package flock takes certbot's lock files, so that certbot and edge never work
// on the same folders at the same time.
//
//	open DIR/.certbot.lock -> lock the whole file -> is it still the file at that path? -> held
//	        ^                     busy: wait                 no: somebody unlinked it
//	        '-------------------------'----------------------------'
//	release: unlink, then close
//
// certbot takes POSIX record locks. They belong to a process, and closing any
// descriptor of the file drops them, which no program with goroutines can live
// with. Open file description locks conflict with them both ways and with each
// other inside of one process too: those are what is taken here.
//
// A file that nobody has locked means nothing: the kernel frees the locks of
// processes that die. Like certbot's, these locks only keep programs out that ask.
package flock
