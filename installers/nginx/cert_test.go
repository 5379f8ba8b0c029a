package nginx

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"edge/installers"
	"edge/internal/edgetest"
)

// makeCertificate writes the certificate of a request, another one each time.
func makeCertificate(t testing.TB, r installers.Request) {
	t.Helper()
	b := edgetest.NewChain(t, time.Now().Add(80*24*time.Hour), r.Names...)
	_, rest := pem.Decode(b.Chain)
	leaf := b.Chain[:len(b.Chain)-len(rest)]
	if err := os.MkdirAll(filepath.Dir(r.Certificate.Key), 0o700); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string][]byte{r.Certificate.Cert: leaf, r.Certificate.Chain: rest, r.Certificate.FullChain: b.Chain, r.Certificate.Key: b.Key} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// snakeoil writes a certificate that blocks of tests have.
func (l *lab) snakeoil(t testing.TB, names ...string) {
	t.Helper()
	b := edgetest.NewChain(t, time.Now().Add(time.Hour), append([]string{"old.test"}, names...)...)
	write(t, filepath.Join(l.dir, "le/c.pem"), string(b.Chain))
	write(t, filepath.Join(l.dir, "le/k.pem"), string(b.Key))
}
