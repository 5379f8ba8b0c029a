package installers

import (
	"context"
	"crypto/x509"
)

// Shows asks an endpoint for its certificate and returns the leaf. Of a server that has
// several for one name, of different kinds, the one of the kind of like is asked for,
// where that is not nil.
func Shows(ctx context.Context, e Endpoint, like *x509.Certificate) (*x509.Certificate, error) {
	got := probe(ctx, e, like)
	return got.leaf, got.err
}
