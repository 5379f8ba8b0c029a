// Package pritunl installs the certificate of Pritunl's web console by its API.
//
//	Put   GET settings -> (acme_domain away, when that was asked for) -> PUT server_cert, server_key
//	Undo  GET settings -> still ours? -> PUT what was there before (-> PUT acme_domain)
//
// The server looks at nothing it is given and starts anew half a second later, so that
// certificate and key are looked at before and handshakes show what came of it. The
// settings have secrets: of an answer, only what is compared is kept, in memory.
package pritunl
