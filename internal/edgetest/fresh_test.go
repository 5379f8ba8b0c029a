package edgetest

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/acme"
	"github.com/letsencrypt/pebble/v2/core"
)

// An authorization that is valid is not used for the next order.
func TestFreshOrder(t *testing.T) {
	c, err := NewCA(CAOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	id := acme.Identifier{Type: "dns", Value: "a.test"}
	authz := &core.Authorization{ID: "x", Order: &core.Order{AccountID: "7"}, ExpiresDate: time.Now().Add(time.Hour), Authorization: acme.Authorization{Status: acme.StatusValid, Identifier: id}}
	if _, err := c.Store.AddAuthorization(authz); err != nil || c.Store.FindValidAuthorization("7", id) == nil {
		t.Fatalf("it is not there at first (%v)", err)
	}
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	for _, account := range []string{"8", "7"} {
		body := `{"protected":"` + part(`{"kid":"https://ca/my-account/`+account+`"}`) + `","payload":"` + part(`{"identifiers":[{"type":"dns","value":"a.test"}]}`) + `"}`
		r, err := http.NewRequest(http.MethodPost, "https://ca/order-plz", bytes.NewReader([]byte(body)))
		if err != nil {
			t.Fatal(err)
		}
		c.freshOrder(r)
		var after bytes.Buffer
		if _, err := after.ReadFrom(r.Body); err != nil || after.String() != body {
			t.Errorf("the request became %q (%v)", after.String(), err)
		}
		if found := c.Store.FindValidAuthorization("7", id) != nil; found != (account == "8") {
			t.Errorf("after an order of account %s, it is there: %t", account, found)
		}
	}
}
