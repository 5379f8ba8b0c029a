package apache

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"edge/installers/apache/conf"
)

const (
	optionsName = "options-ssl-apache.conf"
	digestName  = ".updated-options-ssl-apache-conf-digest.txt"
)

// What certbot ships: the second for an httpd or an OpenSSL that cannot turn session
// tickets off.
var (
	//go:embed options/current.conf
	currentOptions string
	//go:embed options/old.conf
	oldOptions string
)

// shipped are the SHA-256 of all versions that certbot has shipped. A file that has none
// of them was changed by its owner, and stays.
var shipped = []string{
	"2086bca02db48daf93468332543c60ac6acdb6f0b58c7bfdf578a5d47092f82a", "4844d36c9a0f587172d9fa10f4f1c9518e3bcfa1947379f155e16a70a728c21a",
	"5a922826719981c0a234b1fbcd495f3213e49d2519e845ea0748ba513044b65b", "4066b90268c03c9ba0201068eaa39abbc02acf9558bb45a788b630eb85dadf27",
	"f175e2e7c673bd88d0aff8220735f385f916142c44aa83b09f1df88dd4767a88", "cfdd7c18d2025836ea3307399f509cfb1ebf2612c87dd600a65da2a8e2f2797b",
	"80720bd171ccdc2e6b917ded340defae66919e4624962396b992b7218a561791", "c0c022ea6b8a51ecc8f1003d0a04af6c3f2bc1c3ce506b3c2dfc1f11ef931082",
	"717b0a89f5e4c39b09a42813ac6e747cfbdeb93439499e73f4f70a1fe1473f20", "0fcdc81280cd179a07ec4d29d3595068b9326b455c488de4b09f585d5dafc137",
	"86cc09ad5415cd6d5f09a947fe2501a9344328b1e8a8b458107ea903e80baa6c", "06675349e457eae856120cdebb564efe546f0b87399f2264baeb41e442c724c7",
	"5cc003edd93fb9cd03d40c7686495f8f058f485f75b5e764b789245a386e6daf", "007cd497a56a3bb8b6a2c1aeb4997789e7e38992f74e44cc5d13a625a738ac73",
	"34783b9e2210f5c4a23bced2dfd7ec289834716673354ed7c7abf69fe30192a3", "61466bc2f98a623c02be8a5ee916ead1655b0ce883bdc936692076ea499ff5ce",
	"3fd812e3e87fe5c645d3682a511b2a06c8286f19594f28e280f17cd6af1301b5",
}

func digestOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

// optionsFile brings the file that all sites include up to date, as certbot does: where
// its owner has changed it, it is left alone and that is said once a version.
func (p *planner) optionsFile() error {
	want := p.pickOptions()
	path, note := filepath.Join(p.r.ConfigDir, optionsName), filepath.Join(p.r.ConfigDir, digestName)
	have, err := readRegular(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if err == nil && !slices.Contains(shipped, digestOf(string(have))) {
		told, err := readRegular(note)
		if err == nil && strings.TrimSpace(string(told)) == digestOf(want) {
			return nil
		}
		p.plan.Warnings = append(p.plan.Warnings, fmt.Sprintf("%s has been manually modified; updated file saved to nowhere: edge keeps yours. We recommend updating the file for security purposes.", path))
		return p.write(note, digestOf(want))
	}
	if err := p.write(path, want); err != nil {
		return err
	}
	return p.write(note, digestOf(want))
}

func (p *planner) write(path, content string) error {
	c, err := fileChange(path, content)
	p.late = append(p.late, c...)
	return err
}

var openssl = regexp.MustCompile(`OpenSSL ([0-9]\.[^ ]+) `)

// pickOptions decides by the versions of httpd and of the OpenSSL in mod_ssl.
func (p *planner) pickOptions() string {
	path := p.sslModule()
	if p.olderThan(2, 4, 11) || path == "" {
		return oldOptions
	}
	f, err := openRegular(path)
	if err != nil {
		return oldOptions
	}
	defer f.Close() // only read
	content, err := io.ReadAll(io.LimitReader(f, 16<<20))
	if m := openssl.FindSubmatch(content); err == nil && m != nil && string(m[1]) >= "1.0.2l" {
		return currentOptions
	}
	return oldOptions
}

// sslModule is the file of mod_ssl, or the program where it is built in.
func (p *planner) sslModule() string {
	for _, d := range p.set.Root.All("LoadModule") {
		if len(d.Values) > 1 && d.Values[0] == "ssl_module" {
			return p.underRoot(d.Values[1])
		}
	}
	if p.have["ssl_module"] {
		path, err := findProgram(p.bin)
		if p.bin == "" || err != nil {
			return ""
		}
		return path
	}
	src, err := readRegular(filepath.Join(p.serverRoot, "mods-available/ssl.load"))
	if err != nil {
		return ""
	}
	f, err := conf.Parse("ssl.load", string(src))
	if err != nil {
		return ""
	}
	for d := range f.Root.Directives() {
		if d.Is("LoadModule") && len(d.Args()) > 1 {
			return p.underRoot(d.Words[2].Value)
		}
	}
	return ""
}

func (a *Apache) underRoot(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(a.serverRoot, path)
}
