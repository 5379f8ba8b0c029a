package edgetest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"path"
	"time"

	"github.com/letsencrypt/pebble/v2/acme"
)

// freshOrder has an order get authorizations of its own. Of those that are valid, Pebble
// uses one in a hundred again even where it is told to use none: a test would fail
// once in a while.
func (c *CA) freshOrder(r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	r.Body = io.NopCloser(bytes.NewReader(body))
	if err != nil {
		return // Pebble says what is wrong with it
	}
	var jws struct{ Protected, Payload string }
	var header struct{ Kid string }
	var order struct{ Identifiers []acme.Identifier }
	if json.Unmarshal(body, &jws) != nil || unmarshal(jws.Protected, &header) != nil || unmarshal(jws.Payload, &order) != nil {
		return
	}
	account := path.Base(header.Kid)
	for _, id := range order.Identifiers {
		for authz := c.Store.FindValidAuthorization(account, id); authz != nil; authz = c.Store.FindValidAuthorization(account, id) {
			authz.Lock()
			authz.ExpiresDate = time.Now().Add(-time.Second)
			authz.Unlock()
		}
	}
}

func unmarshal(text string, to any) error {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, to)
}
