// Package configobj reads and edits files in the syntax of Python's ConfigObj, in
// which certbot keeps renewal/*.conf and in which people write the credentials of
// DNS providers.
//
//	bytes -> Parse -> Document -> Section -> Get, Lookup, Set -> Bytes
//
// A Document keeps every byte of what it was parsed from. An edit rewrites the
// lines of its key and no others, where ConfigObj writes the whole file anew; what
// it writes for a key is what ConfigObj would write.
//
// The grammar is ConfigObj 5's own, oddities included, since certbot's is the other
// program that reads these files: grammar.go has its expressions. Where ConfigObj
// writes what it could not read back, another form is chosen, or Set fails.
//
// Nothing here knows files, certbot's keys, or what "None" means.
package configobj
