package acmeglue

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
)

// magicIssuer makes a fakeCA an issuer of certmagic, which is what Caddy stores
// certificates with.
type magicIssuer struct {
	ca *fakeCA
	t  *testing.T
}

func (i magicIssuer) IssuerKey() string { return i.ca.key }

func (i magicIssuer) Issue(_ context.Context, csr *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	i.ca.orders.Add(1)
	now := i.ca.now()
	meta := acme.Certificate{URL: i.ca.Directory() + "/cert/1", CA: i.ca.Directory(), RenewalInfo: &acme.RenewalInfo{SelectedTime: now.Add(50 * days)}}
	meta.RenewalInfo.SuggestedWindow.Start, meta.RenewalInfo.SuggestedWindow.End = now.Add(49*days), now.Add(51*days)
	return &certmagic.IssuedCertificate{Certificate: i.ca.sign(ids(i.t, csr.DNSNames...), csr.PublicKey, now, now.Add(90*days)), Metadata: meta}, nil
}

func magic(t *testing.T, storage certmagic.Storage, ca *fakeCA) *certmagic.Config {
	var cfg *certmagic.Config
	cache := certmagic.NewCache(certmagic.CacheOptions{Logger: zap.NewNop(), GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return cfg, nil }})
	t.Cleanup(cache.Stop)
	cfg = certmagic.New(cache, certmagic.Config{Storage: storage, Issuers: []certmagic.Issuer{magicIssuer{ca, t}}, Logger: zap.NewNop(), OCSP: certmagic.OCSPConfig{DisableStapling: true}})
	return cfg
}

func TestStorageOfCaddyIsRead(t *testing.T) {
	ca, storage := newFakeCA(t, "acme.test-directory", time.Now), openStorage(t)
	names := []string{"example.org", "*.example.org"}
	if err := magic(t, storage, ca).ManageSync(t.Context(), names); err != nil {
		t.Fatal(err)
	}
	m := NewManager(ManagerOptions{Storage: storage})
	running(t, m, one(ca, ids(t, names...)...))
	eventually(t, "both are there", func() bool { return len(valid(m)) == 2 })
	serial(t, m, "example.org")
	serial(t, m, "www.example.org")
	st := statusOf(t, m, "example.org")
	if want := ca.now().Add(50 * days); st.RenewAfter.Sub(want).Abs() > time.Minute {
		t.Errorf("renewal at %v, want Caddy's choice %v", st.RenewAfter, want)
	}
	if n := ca.orders.Load(); n != 2 {
		t.Errorf("%d orders, want Caddy's two", n)
	}
}

func TestStorageIsReadByCaddy(t *testing.T) {
	ca, storage := newFakeCA(t, "acme.test-directory", time.Now), openStorage(t)
	start := time.Now()
	ca.setWindow(RenewWindow{Start: start.Add(50 * days), End: start.Add(52 * days)})
	m := NewManager(ManagerOptions{Storage: storage})
	stop := running(t, m, one(ca, ids(t, "example.org", "*.example.org")...))
	eventually(t, "both are there", func() bool { return len(valid(m)) == 2 })
	own := serial(t, m, "example.org")
	chosen := statusOf(t, m, "example.org").RenewAfter
	stop()

	cfg := magic(t, storage, ca)
	if err := cfg.ManageSync(t.Context(), []string{"example.org", "*.example.org"}); err != nil {
		t.Fatal(err)
	}
	c, err := cfg.GetCertificate(&tls.ClientHelloInfo{ServerName: "example.org"})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Leaf.SerialNumber.String(); got != own {
		t.Errorf("Caddy serves serial %s, want %s", got, own)
	}
	if n := ca.orders.Load(); n != 2 {
		t.Errorf("%d orders, want edge's two", n)
	}
	// certmagic renews at _selectedTime, and at once where it is missing.
	raw, err := os.ReadFile(filepath.Join(storage.Path, "certificates", ca.key, "example.org", "example.org.json"))
	if err != nil {
		t.Fatal(err)
	}
	var res certmagic.CertificateResource
	var meta acme.Certificate
	if err := json.Unmarshal(raw, &res); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(res.IssuerData, &meta); err != nil {
		t.Fatal(err)
	}
	if meta.RenewalInfo == nil || !meta.RenewalInfo.SelectedTime.Equal(chosen) || meta.RenewalInfo.UniqueIdentifier == "" || len(res.SANs) != 1 {
		t.Errorf("metadata %s, want the selected time %v", raw, chosen)
	}
}

func TestFilesArePrivate(t *testing.T) {
	ca, storage := newFakeCA(t, "ca.test", time.Now), openStorage(t)
	m := NewManager(ManagerOptions{Storage: storage})
	stop := running(t, m, one(ca, ids(t, "example.org")...))
	eventually(t, "a certificate", func() bool { return len(valid(m)) == 1 })
	stop()
	err := filepath.WalkDir(storage.Path, func(path string, d os.DirEntry, err error) error {
		if err != nil || path == storage.Path {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		if want := os.FileMode(0o600); !d.IsDir() && fi.Mode().Perm() != want || d.IsDir() && fi.Mode().Perm() != 0o700 {
			t.Errorf("%s: mode %v", path, fi.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestBundleIsWhatIsServed(t *testing.T) {
	ca := newFakeCA(t, "ca.test", time.Now)
	m := NewManager(ManagerOptions{Storage: openStorage(t)})
	running(t, m, one(ca, ids(t, "example.org", "*.example.org", "192.0.2.1")...))
	eventually(t, "certificates", func() bool { return len(valid(m)) == 3 })
	for _, host := range []string{"example.org", "*.example.org", "192.0.2.1"} {
		b, err := m.Bundle(host)
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.X509KeyPair(b.Chain, b.Key)
		if err != nil || len(pair.Certificate) != 2 {
			t.Errorf("%s: %v, %d certificates", host, err, len(pair.Certificate))
		}
	}
	if _, err := m.Bundle("www.example.org"); err == nil {
		t.Error("a bundle for a name that was never configured")
	}
}
