package external

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/asn1"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"edge"
	"edge/installers/target"
	"edge/internal/edgetest/targettest"
)

// sites is a TLS server that is configured by files of a folder, each with a name, a
// certificate's path and a key's, as marcan's example has nginx do it.
type sites struct{ dir, addr string }

func newSites(t *testing.T, dir string) *sites {
	t.Helper()
	s := &sites{dir: dir}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetConfigForClient: s.config})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s.addr = l.Addr().String()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(10 * time.Second))
				_ = c.(*tls.Conn).Handshake()
			}()
		}
	}()
	return s
}

func (s *sites) config(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	files, _ := filepath.Glob(filepath.Join(s.dir, "*.conf"))
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		words := strings.Fields(string(raw))
		if len(words) != 3 || words[0] != hello.ServerName {
			continue
		}
		pair, err := tls.LoadX509KeyPair(words[1], words[2])
		return &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{edge.ALPNProto, "http/1.1"}}, err
	}
	return nil, errors.New("no such site")
}

// answers looks as a CA does: RFC 8737 section 3, or the draft of TLS-SNI-01.
func (s *sites) answers(a edge.Answer) error {
	conf := &tls.Config{ServerName: a.Identifier.Value, NextProtos: []string{edge.ALPNProto}, InsecureSkipVerify: true}
	if a.Type == edge.TLSSNI01 {
		conf.ServerName, conf.NextProtos = edge.SNI01Name(a.KeyAuth), nil
	}
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", s.addr, conf)
	if err != nil {
		return err
	}
	defer c.Close()
	state := c.ConnectionState()
	leaf := state.PeerCertificates[0]
	if !slices.Equal(leaf.DNSNames, []string{conf.ServerName}) {
		return fmt.Errorf("it shows a certificate for %v", leaf.DNSNames)
	}
	if a.Type == edge.TLSSNI01 {
		return nil
	}
	sum := sha256.Sum256([]byte(a.KeyAuth))
	want, err := asn1.Marshal(sum[:])
	if err != nil {
		return err
	}
	for _, e := range leaf.Extensions {
		if e.Id.String() == "1.3.6.1.5.5.7.1.31" && e.Critical && string(e.Value) == string(want) && state.NegotiatedProtocol == edge.ALPNProto {
			return nil
		}
	}
	return errors.New("it shows no proof")
}

// TestProofTLS is TestProof for the two challenges that have a certificate, by one script
// which knows nothing but what marcan's plugin told it.
func TestProofTLS(t *testing.T) {
	for _, kind := range []edge.ChallengeType{edge.TLSSNI01, edge.TLSALPN01} {
		t.Run(string(kind), func(t *testing.T) {
			targettest.Prove(t, func(t *testing.T) *targettest.Proof {
				path, dir := script(t, `echo "$z_domain $cert_path $key_path" > "$dir/zauth_${domain}_${z_domain}.conf"`, `rm -f "$dir/zauth_${domain}_"*.conf`)
				s := newSites(t, dir)
				return &targettest.Proof{
					Type: kind, Answers: s.answers,
					Authenticator: func(ctx context.Context, env *target.Env) (target.Authenticator, error) {
						return Kind().Authenticator(ctx, values(t, map[string][]string{"handler": {path}, "challenges": {string(kind)}}), env)
					},
					Left: func() string {
						files, _ := filepath.Glob(filepath.Join(dir, "*.conf"))
						return strings.Join(files, " ")
					},
					Down: func(t *testing.T) (restore func()) {
						if err := os.Chmod(path, 0o600); err != nil {
							t.Fatal(err)
						}
						return func() {
							if err := os.Chmod(path, 0o700); err != nil {
								t.Fatal(err)
							}
						}
					},
				}
			})
		})
	}
}
