package files

import (
	"crypto/ecdsa"
	"encoding/hex"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/pavlo-v-chernykh/keystore-go/v4"

	"edge/installers/delivery"
)

// tool runs a program of others on what we wrote.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing (Debian packages openssl, default-jre-headless)", name)
		}
		t.Skipf("not run: %s is missing (Debian packages openssl, default-jre-headless)", name)
	}
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "PASS=pass word: $x")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
	return string(out)
}

func single(r *rig, l Layout, name string) Options {
	o := r.options()
	o.Layout, o.Names, o.Password = l, map[Part]string{File: name}, "pass word: $x"
	return o
}

// What goes into a PKCS #12 file comes out of it by OpenSSL, and by keytool.
func TestPKCS12(t *testing.T) {
	r := newRig(t)
	o := single(r, PKCS12, "mail.p12")
	it, m := r.item(o), r.material()
	r.apply(it, m, delivery.Unverified)
	out := tool(t, "openssl", "pkcs12", "-in", o.Dir+"/mail.p12", "-passin", "env:PASS", "-nodes")
	if strings.Count(out, "BEGIN CERTIFICATE") != 2 || strings.Count(out, "BEGIN PRIVATE KEY") != 1 {
		t.Errorf("%s", out)
	}
	for _, want := range []string{string(m.CertPEM), string(m.KeyPEM), string(m.ChainPEM)} {
		if !strings.Contains(out, strings.TrimSpace(want)) {
			t.Errorf("%s lacks %s", out, want)
		}
	}
	if list := tool(t, "keytool", "-list", "-v", "-keystore", o.Dir+"/mail.p12", "-storepass:env", "PASS"); !strings.Contains(list, "Certificate chain length: 2") {
		t.Errorf("%s", list)
	}
	// Another password is a reason to write it anew; the same one is none.
	r.look(it, m, delivery.Unverified)
	o.Password = "another"
	if res := r.look(r.item(o), m, delivery.Drifted); !strings.Contains(res.Reasons[0], "another password") {
		t.Errorf("%q", res.Reasons)
	}
	r.apply(r.item(o), m, delivery.Unverified)
	r.look(r.item(o), m, delivery.Unverified)
}

// What goes into a JKS comes out by the library and by keytool, which prints the
// SHA-256 of the leaf.
func TestJKS(t *testing.T) {
	r := newRig(t)
	o := single(r, JKS, "mail.jks")
	o.Password = "changeit"
	it, m := r.item(o), r.material()
	r.apply(it, m, delivery.Unverified)
	raw := read(t, o.Dir+"/mail.jks")
	ks := keystore.New()
	if err := ks.Load(strings.NewReader(raw), []byte("changeit")); err != nil {
		t.Fatal(err)
	}
	entry, err := ks.GetPrivateKeyEntry("edge", []byte("changeit"))
	if err != nil || len(entry.CertificateChain) != 2 {
		t.Fatalf("%v, chain of %d", err, len(entry.CertificateChain))
	}
	list := tool(t, "keytool", "-list", "-v", "-keystore", o.Dir+"/mail.jks", "-storetype", "JKS", "-storepass", "changeit")
	sum := strings.ReplaceAll(list, ":", "")
	if !strings.Contains(sum, strings.ToUpper(hex.EncodeToString(m.Leaf[:]))) || !strings.Contains(list, "Certificate chain length: 2") || !strings.Contains(list, "PrivateKeyEntry") {
		t.Errorf("%s", list)
	}
	// keytool decrypts the key only when it has to do something with it.
	tool(t, "keytool", "-importkeystore", "-srckeystore", o.Dir+"/mail.jks", "-srcstoretype", "JKS", "-srcstorepass", "changeit",
		"-destkeystore", r.dir+"/out.p12", "-deststoretype", "PKCS12", "-deststorepass", "changeit", "-noprompt")
	out := tool(t, "openssl", "pkcs12", "-in", r.dir+"/out.p12", "-passin", "pass:changeit", "-nodes")
	if !strings.Contains(out, strings.TrimSpace(string(m.KeyPEM))) {
		t.Errorf("the key that keytool found is another one: %s", out)
	}
	o.Password = "another"
	if res := r.look(r.item(o), m, delivery.Drifted); !strings.Contains(res.Reasons[0], "another password") {
		t.Errorf("%q", res.Reasons)
	}
	if _, ok := m.Key.(*ecdsa.PrivateKey); !ok {
		t.Fatal("the test wants a key of ECDSA")
	}
}

// The order of what is in one PEM file is the one that was asked for.
func TestOneFile(t *testing.T) {
	r := newRig(t)
	m := r.material()
	for layout, want := range map[Layout]string{
		FullchainKey: string(m.FullChainPEM) + string(m.KeyPEM), KeyFirst: string(m.KeyPEM) + string(m.FullChainPEM),
	} {
		o := single(r, layout, string(layout)+".pem")
		o.Name = string(layout)
		it := r.item(o)
		it.Name = string(layout)
		r.apply(it, m, delivery.Unverified)
		if got := read(t, o.Dir+"/"+string(layout)+".pem"); got != want {
			t.Errorf("%s: %q", layout, got)
		}
		if got := mode(t, o.Dir+"/"+string(layout)+".pem"); got != 0o640 {
			t.Errorf("%s: mode %#o", layout, got)
		}
	}
}
