package answer

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/asn1"
	"testing"

	"edge"
)

// The certificate of TLS-ALPN-01 has the one name and the one critical extension that a
// CA looks for (RFC 8737 section 3, RFC 8738 section 6).
func TestALPN01(t *testing.T) {
	for _, id := range []edge.Identifier{{Type: edge.DNS, Value: "a.test"}, {Type: edge.IP, Value: "2001:db8::1"}} {
		a, err := NewALPN01(edge.Answer{Type: edge.TLSALPN01, Identifier: id, Token: "tok", KeyAuth: "tok.thumb"})
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.X509KeyPair(a.Cert, a.Key)
		if err != nil {
			t.Fatal(err)
		}
		if len(pair.Leaf.DNSNames)+len(pair.Leaf.IPAddresses) != 1 || pair.Leaf.VerifyHostname(id.Value) != nil || a.Name != id.Value {
			t.Errorf("%v: %v %v", id, pair.Leaf.DNSNames, pair.Leaf.IPAddresses)
		}
		sum, found := sha256.Sum256([]byte("tok.thumb")), false
		for _, e := range pair.Leaf.Extensions {
			var value []byte
			if e.Id.String() == "1.3.6.1.5.5.7.1.31" {
				rest, err := asn1.Unmarshal(e.Value, &value)
				found = err == nil && len(rest) == 0 && string(value) == string(sum[:]) && e.Critical
			}
		}
		if !found {
			t.Errorf("%v: the proof is not in it", id)
		}
	}
	if _, err := NewALPN01(edge.Answer{Identifier: edge.Identifier{Type: edge.IP, Value: "x"}}); err == nil {
		t.Error("an address that is none was taken")
	}
}
