// Package api is how targets that are services are spoken to: HTTPS with the roots, or
// the fingerprint, that were given; every request has a deadline and every answer a
// limit; what is busy is asked again, for a while; no redirect is followed, so that
// credentials go nowhere else; and no error has a secret in its text.
//
// What a service wants (signatures, XML, forms) is in the service's own package.
package api
