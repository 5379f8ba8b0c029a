package nginx

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"edge/installers"
)

// The files that certbot keeps for nginx in its folder, and what it notes about them.
const (
	optionsName    = "options-ssl-nginx.conf"
	optionsDigest  = ".updated-options-ssl-nginx-conf-digest.txt"
	dhparamsName   = "ssl-dhparams.pem"
	dhparamsDigest = ".updated-ssl-dhparams-pem-digest.txt"
)

// shipped are the files byte for byte as certbot has them, so that either program knows
// those of the other by their SHA-256.
//
//go:embed tls
var shipped embed.FS

// optionsHashes are of all that certbot ever shipped (certbot: nginx/constants.py).
var optionsHashes = []string{
	"0f81093a1465e3d4eaa8b0c14e77b2a2e93568b0fc1351c2b87893a95f0de87c",
	"9a7b32c49001fed4cff8ad24353329472a50e86ade1ef9b2b9e43566a619612e",
	"a6d9f1c7d6b36749b52ba061fff1421f9a0a3d2cfdafbd63c05d06f65b990937",
	"7f95624dd95cf5afc708b9f967ee83a24b8025dc7c8d9df2b556bbc64256b3ff",
	"394732f2bbe3e5e637c3fb5c6e980a1f1b90b01e2e8d6b7cff41dde16e2a756d",
	"4b16fec2bcbcd8a2f3296d886f17f9953ffdcc0af54582452ca1e52f5f776f16",
	"c052ffff0ad683f43bffe105f7c606b339536163490930e2632a335c8d191cc4",
	"02329eb19930af73c54b3632b3165d84571383b8c8c73361df940cb3894dd426",
	"63e2bddebb174a05c9d8a7cf2adf72f7af04349ba59a1a925fe447f73b2f1abf",
	"2901debc7ecbc10917edd9084c05464c9c5930b463677571eaf8c94bffd11ae2",
	"30baca73ed9a5b0e9a69ea40e30482241d8b1a7343aa79b49dc5d7db0bf53b6c",
	"108c4555058a087496a3893aea5d9e1cee0f20a3085d44a52dc1a66522299ac3",
	"d5e021706ecdccc7090111b0ae9a29ef61523e927f020e410caf0a1fd7063981",
	"ef11e3fb17213e74d3e1816cde0ec37b8b95b4167cf21e7b8ff1eaa9c6f918ee",
	"af85f6193808a44789a1d293e6cffa249cad9a21135940800958b8e3c72dbc69",
	"a2a612fd21b02abaa32d9d11ac63d987d6e3054dbfa356de5800eea0d7ce17f3",
	"2d9648302e3588a172c318e46bff88ade46fc7a16d6afc85322776a04800d473",
	"5e21cc66989f26ec46116d979421e538131cf8ab33ffff3f682fbfe491b0ace8",
	"f5615544105c4eee44f02a604e3e9ae55b3d5bad247160bb18731a0ac531af02",
	"05a799c4db12f8e15e68219c98056824cbd5ae7b05863225318ae112f343880b",
	"dc81acfd9670f137d5abbccfe3438d9306d4b6a906439b0fbf6a6756272e7cc7",
}

var dhparamsHashes = []string{"9ba6429597aeed2d8617a7705b56e96d044f64b07971659382e426675105654b"}

// managedFile is a file as it is going to be.
type managedFile struct {
	path    string // as it goes into configurations
	content string
	// change is what has to be done for it; its Path is empty for nothing.
	change  installers.Change
	digest  installers.Change // the same for the note beside it
	warning string
}

func (f managedFile) create() bool { return f.change.Path != "" && f.change.Op == installers.Create }

func (f managedFile) changes() []installers.Change {
	return slices.DeleteFunc([]installers.Change{f.change, f.digest}, func(c installers.Change) bool { return c.Path == "" })
}

const maxManaged = 1 << 20 // bytes

// manage looks after a file as certbot does (plugins/common.py,
// install_version_controlled_file): a version that was shipped is replaced by the newest
// one, one that somebody has changed stays, with a warning, once.
func manage(path, digestPath, name string, known []string) (managedFile, error) {
	raw, err := shipped.ReadFile("tls/" + name)
	if err != nil {
		return managedFile{}, err
	}
	current := digestOf(raw)
	f := managedFile{path: path, content: string(raw)}
	have, real, err := readManaged(path)
	switch {
	case err != nil:
		return f, err
	case have == nil:
		f.change = installers.Change{Path: real, Op: installers.Create, New: raw, Mode: 0o644}
	case digestOf(have) == current:
		return f, nil
	case slices.Contains(known, digestOf(have)):
		f.change = installers.Change{Path: real, Op: installers.Rewrite, Old: have, New: raw}
	default:
		f.content = string(have)
	}
	noted, realDigest, err := readManaged(digestPath)
	if err != nil || string(noted) == current {
		return f, err
	}
	if f.change.Path == "" {
		f.warning = fmt.Sprintf("%s has been manually modified, and there is a newer version of it. We recommend updating %s for security purposes: move it away, and the next installation writes the newer one.", path, path)
	}
	f.digest = installers.Change{Path: realDigest, Op: installers.Rewrite, Old: noted, New: []byte(current)}
	if noted == nil {
		f.digest.Op, f.digest.Mode = installers.Create, 0o644
	}
	return f, nil
}

// readManaged reads a file, nil where there is none, and says where it is without
// symbolic links.
func readManaged(path string) (content []byte, real string, err error) {
	real, err = filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		return nil, filepath.Join(dir, filepath.Base(path)), err
	}
	if err != nil {
		return nil, "", err
	}
	info, err := os.Stat(real)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		return nil, "", err
	}
	content, err = readSome(real, maxManaged)
	if content == nil {
		content = []byte{}
	}
	return content, real, err
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return strings.ToLower(hex.EncodeToString(sum[:]))
}
