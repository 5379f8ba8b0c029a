package acmeglue

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"

	"github.com/mholt/acmez/v3/acme"
)

// parseLeaf returns the first certificate of a PEM chain.
func parseLeaf(chain []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(chain)
	if block == nil {
		return nil, errors.New("no certificate in PEM form")
	}
	return x509.ParseCertificate(block.Bytes)
}

// SplitChain divides a PEM chain into its leaf and what comes after it.
func SplitChain(chain []byte) (leaf, rest []byte) {
	block, rest := pem.Decode(chain)
	if block == nil {
		return nil, nil
	}
	return pem.EncodeToMemory(block), bytes.TrimLeft(rest, "\r\n")
}

// issued puts together what the CA gave, and checks that it is what was ordered.
func (a *attempt) issued(chains []acme.Certificate, key crypto.Signer) (*Issued, error) {
	if len(chains) == 0 {
		return nil, errors.New("the CA offered no chain")
	}
	chosen, preferred := chooseChain(chains, firstOf(a.o.PreferredChain, a.i.o.PreferredChain))
	if !preferred {
		a.i.log.Warn("the CA has no chain to the preferred issuer; its default is used", "name", a.name(), "preferred", firstOf(a.o.PreferredChain, a.i.o.PreferredChain))
	}
	leaf, err := parseLeaf(chosen.ChainPEM)
	if err != nil {
		return nil, err
	}
	out := &Issued{Chain: chosen.ChainPEM, Preferred: preferred, Key: key, Leaf: leaf}
	for _, c := range chains {
		out.Chains = append(out.Chains, c.ChainPEM)
	}
	if key != nil {
		if pub, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(key.Public()) {
			return nil, errMismatch
		}
	}
	if ri := chosen.RenewalInfo; ri != nil && ri.HasWindow() {
		out.RenewWindow = windowOf(*ri)
	}
	return out, nil
}

func windowOf(ri acme.RenewalInfo) RenewWindow {
	w := RenewWindow{Start: ri.SuggestedWindow.Start, End: ri.SuggestedWindow.End, Selected: ri.SelectedTime, URL: ri.ExplanationURL}
	if ri.RetryAfter != nil {
		w.RetryAfter = *ri.RetryAfter
	}
	return w
}

// chooseChain takes the first chain that ends at the preferred common name: its
// last certificate was issued by it. Where there is none, a chain that passes
// it will do, else the CA's default.
func chooseChain(chains []acme.Certificate, preferred string) (chosen acme.Certificate, found bool) {
	if preferred == "" {
		return chains[0], true
	}
	passes := -1
	for n, c := range chains {
		last := ""
		for block, rest := pem.Decode(c.ChainPEM); block != nil; block, rest = pem.Decode(rest) {
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				continue
			}
			if last = cert.Issuer.CommonName; last == preferred && passes < 0 {
				passes = n
			}
		}
		if last == preferred {
			return c, true
		}
	}
	if passes >= 0 {
		return chains[passes], true
	}
	return chains[0], false
}
