package edgetest

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"path"
	"slices"
	"time"

	"github.com/letsencrypt/pebble/v2/acme"
	"github.com/letsencrypt/pebble/v2/core"
)

// A CA that validates by TLS-SNI-01 only is Pebble with two of its steps taken
// over: what it offers after an order was made, and how it looks once a
// challenge was accepted. Nonces, signatures, accounts and issuance stay Pebble's.

// sniOrder turns the challenges of a new order into TLS-SNI-01.
func (c *CA) sniOrder(location string) {
	order := c.Store.GetOrderByID(path.Base(location))
	if order == nil {
		return
	}
	order.RLock()
	authzs := slices.Clone(order.AuthorizationObjects)
	order.RUnlock()
	for _, a := range authzs {
		a.Lock()
		if len(a.Challenges) > 0 {
			ch := a.Challenges[0]
			ch.Lock()
			ch.Type = "tls-sni-01"
			ch.Unlock()
			a.Challenges = a.Challenges[:1]
		}
		a.Unlock()
	}
}

// sniValidate looks for the answer and records what it found.
func (c *CA) sniValidate(id string) {
	ch := c.Store.GetChallengeByID(id)
	if ch == nil {
		return
	}
	authz := ch.Authz
	problem := c.sniLook(ch)
	authz.Lock()
	defer authz.Unlock()
	ch.Lock()
	defer ch.Unlock()
	now := time.Now().UTC()
	if problem == nil {
		ch.Status, authz.Status = acme.StatusValid, acme.StatusValid
		ch.ValidatedDate = now
	} else {
		ch.Status, authz.Status = acme.StatusInvalid, acme.StatusInvalid
		ch.Error = problem
	}
	authz.ExpiresDate = now.Add(time.Hour)
}

// sniLook makes the validating handshake: the server name is zName, and some
// name of the leaf has to be it.
func (c *CA) sniLook(ch *core.Challenge) *acme.ProblemDetails {
	ch.Authz.Order.RLock()
	account := c.Store.GetAccountByID(ch.Authz.Order.AccountID)
	ch.Authz.Order.RUnlock()
	keyAuth := ch.ExpectedKeyAuthorization(account.Key)
	sum := sha256.Sum256([]byte(keyAuth))
	z := hex.EncodeToString(sum[:])
	zName := z[:32] + "." + z[32:] + ".acme.invalid"
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", fmt.Sprintf("127.0.0.1:%d", c.tlsPort),
		&tls.Config{ServerName: zName, InsecureSkipVerify: true})
	if err != nil {
		return acme.ConnectionProblem(err.Error())
	}
	defer conn.Close()
	names := conn.ConnectionState().PeerCertificates[0].DNSNames
	if !slices.Contains(names, zName) {
		return acme.UnauthorizedProblem(fmt.Sprintf("found names %v, want %s", names, zName))
	}
	return nil
}
