package main

// webServerKinds are the servers that there are packages for.
func webServerKinds() []webServerKind { return nil }
