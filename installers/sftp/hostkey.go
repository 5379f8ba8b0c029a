package sftp

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// hostKeys knows the host keys of other machines.
type hostKeys struct {
	fingerprint string              // SHA256:...
	key         ssh.PublicKey       // or the key itself
	known       ssh.HostKeyCallback // or what files have
	add         string              // the file that a new key goes into
}

// otherKeyError is that a machine shows another key than the one that was given, which
// may be of another kind.
type otherKeyError struct{ says string }

func (e *otherKeyError) Error() string { return e.says }

func newHostKeys(o Options) (hostKeys, error) {
	var h hostKeys
	switch {
	case strings.HasPrefix(o.HostKey, "SHA256:") && len(o.HostKey) == len("SHA256:")+43:
		h.fingerprint = o.HostKey
		return h, nil
	case o.HostKey != "":
		var err error
		if h.key, _, _, _, err = ssh.ParseAuthorizedKey([]byte(o.HostKey)); err != nil {
			return h, errors.New("sftp: host_key is neither SHA256:... as ssh-keygen -l shows it nor a line of a .pub file")
		}
		return h, nil
	}
	files := []string{o.KnownHosts}
	h.add = o.KnownHosts
	if o.KnownHosts == "" {
		files = []string{"/etc/ssh/ssh_known_hosts"}
		h.add = files[0]
		if filepath.IsAbs(o.Home) {
			h.add = filepath.Join(o.Home, ".ssh", "known_hosts")
			files = append(files, h.add)
		}
		files = slices.DeleteFunc(files, func(f string) bool { _, err := os.Stat(f); return err != nil })
	}
	var err error
	if h.known, err = knownhosts.New(files...); err != nil {
		return h, fmt.Errorf("sftp: known_hosts: %w", err)
	}
	return h, nil
}

// families are the kinds of host keys, with how they may sign.
func families() [][]string {
	return [][]string{
		{ssh.KeyAlgoED25519},
		{ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521},
		{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256},
	}
}

func family(keyType string) []string {
	for _, f := range families() {
		if slices.Contains(f, keyType) || keyType == ssh.KeyAlgoRSA && f[0] == ssh.KeyAlgoRSASHA512 {
			return f
		}
	}
	return []string{keyType}
}

// algorithms are the kinds of host keys to ask for, one connection each: a machine shows
// one key, which has to be of a kind that is known here.
func (h *hostKeys) algorithms(addr string) [][]string {
	if h.fingerprint != "" {
		return families()
	}
	if h.key != nil {
		return [][]string{family(h.key.Type())}
	}
	// What is known of the machine is in the error about a key that it does not have.
	var wrong *knownhosts.KeyError
	var list []string
	if errors.As(h.known(addr, &net.TCPAddr{}, noKey{}), &wrong) {
		for _, w := range wrong.Want {
			for _, algorithm := range family(w.Key.Type()) {
				if !slices.Contains(list, algorithm) {
					list = append(list, algorithm)
				}
			}
		}
	}
	if len(list) == 0 {
		return [][]string{nil} // any
	}
	return [][]string{list}
}

// noKey is the key of no machine.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return []byte("none") }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("no key") }

// check is an ssh.HostKeyCallback.
func (h *hostKeys) check(addr string, remote net.Addr, key ssh.PublicKey) error {
	shows := key.Type() + " " + ssh.FingerprintSHA256(key)
	switch {
	case h.fingerprint != "":
		if ssh.FingerprintSHA256(key) != h.fingerprint {
			return &otherKeyError{"it shows the host key " + shows + ", not " + h.fingerprint}
		}
		return nil
	case h.key != nil:
		if !bytes.Equal(key.Marshal(), h.key.Marshal()) {
			return &otherKeyError{"it shows the host key " + shows + ", not " + ssh.FingerprintSHA256(h.key)}
		}
		return nil
	}
	err := h.known(addr, remote, key)
	var wrong *knownhosts.KeyError
	var revoked *knownhosts.RevokedError
	switch {
	case errors.As(err, &revoked):
		return fmt.Errorf("its host key %s was revoked in %s, line %d", shows, revoked.Revoked.Filename, revoked.Revoked.Line)
	case errors.As(err, &wrong) && len(wrong.Want) > 0:
		w := wrong.Want[0]
		return fmt.Errorf("it shows the host key %s, not the one of %s, line %d: somebody may be in between, or it was set up anew; ask who runs it", shows, w.Filename, w.Line)
	case errors.As(err, &wrong):
		return fmt.Errorf("its host key is not known; it shows %s. If that is what ssh-keygen -lf says of the .pub file in /etc/ssh there, add this line to %s: %s", shows, h.add, knownhosts.Line([]string{addr}, key))
	}
	return err
}
