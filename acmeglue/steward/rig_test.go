package steward

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"edge/acmeglue"
	"edge/acmeglue/lineage"
	"edge/internal/certbotcli"
	"edge/internal/display"
)

// authority signs what the tests need.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  []byte
}

var theCA = sync.OnceValue(func() *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test intermediate"},
		NotBefore: time.Now().AddDate(-5, 0, 0), NotAfter: time.Now().AddDate(5, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return &authority{key, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
})

func ecKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var oneRSAKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func rsaKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := oneRSAKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue makes a chain, leaf first. Template has what matters to the test.
func issue(t testing.TB, key crypto.Signer, template x509.Certificate) []byte {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<60))
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = serial
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().AddDate(0, 0, 90)
	}
	ca := theCA()
	der, err := x509.CreateCertificate(rand.Reader, &template, ca.cert, key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), ca.pem...)
}

// rig is a Steward on a tree of its own.
type rig struct {
	t    testing.TB
	root string
	tree *lineage.Tree
	out  bytes.Buffer
	log  bytes.Buffer
	now  time.Time
	o    Options
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, root: t.TempDir(), now: time.Now().UTC().Truncate(time.Second)}
	r.tree = lineage.Open(lineage.Dirs{
		Config: filepath.Join(r.root, "config"), Work: filepath.Join(r.root, "work"), Logs: filepath.Join(r.root, "logs"),
	}, lineage.Options{})
	storage, err := acmeglue.OpenFileStorage(filepath.Join(r.root, "work", "edge"))
	if err != nil {
		t.Fatal(err)
	}
	r.o = Options{
		Tree: r.tree, Storage: storage, Hooks: noHooks{}, Program: "edge", Version: "test", Out: &r.out,
		Display: display.NewNonInteractive(&r.out, display.Options{}),
		Log:     slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now:     func() time.Time { return r.now }, Rand: func() float64 { return 0.5 },
		Sleep: func(context.Context, time.Duration) error { return nil },
	}
	return r
}

func (r *rig) steward() *Steward { return New(r.t.Context(), r.o) }

// options parses a command line.
func (r *rig) options(line string) *certbotcli.Options {
	r.t.Helper()
	args := append(strings.Fields(line), "--config-dir", filepath.Join(r.root, "config"),
		"--work-dir", filepath.Join(r.root, "work"), "--logs-dir", filepath.Join(r.root, "logs"))
	o, err := certbotcli.Parse(args, certbotcli.Env{ConfigFiles: []string{}})
	if err != nil {
		r.t.Fatal(err)
	}
	return o
}

// deaf is a CA that is not there.
const deaf = "https://127.0.0.1:1/dir"

// create makes a lineage, as a run with these flags would have.
func (r *rig) create(name string, key crypto.Signer, template x509.Certificate, flags string) *lineage.Lineage {
	r.t.Helper()
	raw, err := keyPEM(key)
	if err != nil {
		r.t.Fatal(err)
	}
	o := r.options("certonly --standalone -d x.test --server " + deaf + " " + flags)
	o.Authenticator = standaloneName
	l, err := r.tree.Create(lineage.CreateOptions{Name: name, Chain: issue(r.t, key, template), Key: raw, Params: paramsOf(o)})
	if err != nil {
		r.t.Fatal(err)
	}
	return l
}

// noHooks has none.
type noHooks struct{}

func (noHooks) Pre(context.Context, HookCommands) error                      { return nil }
func (noHooks) Deploy(context.Context, HookCommands, string, []string) error { return nil }
func (noHooks) OnFailure(context.Context, HookCommands, string, []string, error) error {
	return nil
}
func (noHooks) Post(context.Context, []string, []string) error { return nil }
func (noHooks) Err() error                                     { return nil }
func (noHooks) Seconds(string) float64                         { return 0 }

// person answers every yes-or-no question and every menu the same way, and
// remembers what was asked.
type person struct {
	display.Display
	yes   bool
	menu  int
	asked []string
}

func (p *person) YesNo(_ context.Context, message, _, _ string, _ display.YesNoOptions) (bool, error) {
	p.asked = append(p.asked, message)
	return p.yes, nil
}

func (p *person) Menu(_ context.Context, message string, _ []display.Choice, _ display.MenuOptions) (int, error) {
	p.asked = append(p.asked, message)
	return p.menu, nil
}

func (r *rig) write(path, content string) {
	r.t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		r.t.Fatal(err)
	}
}
