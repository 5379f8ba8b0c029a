package acmeglue

import (
	"context"
	"fmt"
	"net/http"
)

// Probe implements Prober: it reads the directory, past what the client
// remembers of it. A CA that answers, if only with an error of its own, is there.
func (i *Issuer) Probe(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, i.o.Directory, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "edge")
	res, err := i.client.HTTPClient.Do(req)
	if err != nil {
		return fmt.Errorf("probe the CA: %w", err)
	}
	return res.Body.Close()
}

var _ Prober = (*Issuer)(nil)
