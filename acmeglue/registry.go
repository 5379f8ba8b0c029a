package acmeglue

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"

	"edge"
)

// Registry holds the answers to challenges that are being validated. Lookups
// are lock-free; there is one registry for each front door, and it is filled by
// issuers of this process and through the admin socket. Safe for concurrent use.
type Registry struct {
	mu      sync.Mutex // of writers
	current atomic.Pointer[answers]
	mirrors []*mirror // who is told of changes; of mu
}

type mirror struct{ tell func(a edge.Answer, put bool) }

// answers is an immutable state of the registry.
type answers struct {
	http map[string]edge.Answer  // by token
	alpn map[string][]alpnAnswer // by server name, newest last
	sni  map[string]sniAnswer    // by zName
}

type alpnAnswer struct {
	edge.Answer
	cert *tls.Certificate
}

type sniAnswer struct {
	edge.Answer
	uses int // the same answer may be put twice, and removed twice
	cert *tls.Certificate
}

// MaxAnswers bounds the registry: answers also come from other processes.
const MaxAnswers = 4096

// ErrAnswer is wrapped by errors of Put about an answer that cannot be one.
var ErrAnswer = errors.New("challenge answer")

// NewRegistry returns an empty registry.
func NewRegistry() *Registry {
	r := &Registry{}
	r.current.Store(&answers{http: map[string]edge.Answer{}, alpn: map[string][]alpnAnswer{}, sni: map[string]sniAnswer{}})
	return r
}

// Mirror returns the answers there are, and has f told of each that is put or
// removed from then on until stop is called, in that order and with the registry
// locked: f must not block or call back. Two processes that share their sockets need
// each other's answers, since neither knows whom a CA will reach.
func (r *Registry) Mirror(f func(a edge.Answer, put bool)) (all []edge.Answer, stop func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := &mirror{f}
	r.mirrors = append(r.mirrors, m)
	s := r.current.Load()
	for _, a := range s.http {
		all = append(all, a)
	}
	for _, list := range s.alpn {
		for _, a := range list {
			all = append(all, a.Answer)
		}
	}
	for _, a := range s.sni {
		all = append(all, slices.Repeat([]edge.Answer{a.Answer}, a.uses)...)
	}
	return all, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.mirrors = slices.DeleteFunc(r.mirrors, func(x *mirror) bool { return x == m })
	}
}

// Reflect puts or removes what another registry tells of, and tells nobody.
func (r *Registry) Reflect(a edge.Answer, put bool) error {
	if put {
		return r.put(a, false)
	}
	r.remove(a, false)
	return nil
}

// change replaces the state by a changed copy, and has the mirror told if that is wanted.
func (r *Registry) change(a edge.Answer, put, tell bool, f func(*answers) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.current.Load()
	next := &answers{http: maps.Clone(old.http), alpn: maps.Clone(old.alpn), sni: maps.Clone(old.sni)}
	if err := f(next); err != nil {
		return err
	}
	r.current.Store(next)
	if tell {
		for _, m := range r.mirrors {
			m.tell(a, put)
		}
	}
	return nil
}

// Put adds an answer. DNS-01 is not answered from here.
func (r *Registry) Put(a edge.Answer) error { return r.put(a, true) }

func (r *Registry) put(a edge.Answer, tell bool) error {
	if err := checkAnswer(a); err != nil {
		return err
	}
	var cert *tls.Certificate
	var err error
	switch a.Type {
	case edge.HTTP01:
	case edge.TLSALPN01:
		cert, err = alpnCertificate(a)
	case edge.TLSSNI01:
		cert, err = sniCertificate(edge.SNI01Name(a.KeyAuth))
	default:
		err = fmt.Errorf("%w: type %q is not answered by the front door", ErrAnswer, a.Type)
	}
	if err != nil {
		return err
	}
	return r.change(a, true, tell, func(s *answers) error {
		if len(s.http)+len(s.alpn)+len(s.sni) >= MaxAnswers {
			return fmt.Errorf("%w: %d are registered already; remove those that are not needed any more", ErrAnswer, MaxAnswers)
		}
		switch a.Type {
		case edge.HTTP01:
			if old, ok := s.http[a.Token]; ok && old != a {
				return fmt.Errorf("%w: the token is registered for %s already", ErrAnswer, old.Identifier)
			}
			s.http[a.Token] = a
		case edge.TLSALPN01:
			name := alpnName(a.Identifier)
			s.alpn[name] = append(slices.Clone(s.alpn[name]), alpnAnswer{a, cert})
		case edge.TLSSNI01:
			z := edge.SNI01Name(a.KeyAuth)
			s.sni[z] = sniAnswer{a, s.sni[z].uses + 1, cert}
		}
		return nil
	})
}

// Remove takes an answer away. One that is not there is no error.
func (r *Registry) Remove(a edge.Answer) { r.remove(a, true) }

func (r *Registry) remove(a edge.Answer, tell bool) {
	_ = r.change(a, false, tell, func(s *answers) error {
		switch a.Type {
		case edge.HTTP01:
			if s.http[a.Token] == a {
				delete(s.http, a.Token)
			}
		case edge.TLSALPN01:
			name := alpnName(a.Identifier)
			list := slices.Clone(s.alpn[name])
			if i := slices.IndexFunc(list, func(x alpnAnswer) bool { return x.KeyAuth == a.KeyAuth }); i >= 0 {
				list = slices.Delete(list, i, i+1)
			}
			if s.alpn[name] = list; len(list) == 0 {
				delete(s.alpn, name)
			}
		case edge.TLSSNI01:
			z := edge.SNI01Name(a.KeyAuth)
			if left := s.sni[z]; left.uses > 1 {
				s.sni[z] = sniAnswer{left.Answer, left.uses - 1, left.cert}
			} else {
				delete(s.sni, z)
			}
		}
		return nil
	})
}

// Len counts the answers.
func (r *Registry) Len() int {
	s := r.current.Load()
	n := len(s.http) + len(s.sni)
	for _, l := range s.alpn {
		n += len(l)
	}
	return n
}

// HTTP01 returns the key authorization for a token, if it was put for that host.
func (r *Registry) HTTP01(host, token string) (string, bool) {
	a, ok := r.current.Load().http[token]
	if !ok || !strings.EqualFold(strings.TrimSuffix(host, "."), a.Identifier.Value) {
		return "", false
	}
	return a.KeyAuth, true
}

// TLSALPN01 returns the certificate for a validation of sni. Where two orders
// for one name overlap, the newer answer is given: RFC 8737 has no way to tell
// which one a CA came for. The older order then fails and is tried again.
func (r *Registry) TLSALPN01(sni string) (*tls.Certificate, bool) {
	list := r.current.Load().alpn[sni]
	if len(list) == 0 {
		return nil, false
	}
	return list[len(list)-1].cert, true
}

// TLSSNI01 returns the certificate for a server name under acme.invalid.
func (r *Registry) TLSSNI01(sni string) (*tls.Certificate, bool) {
	a, ok := r.current.Load().sni[sni]
	return a.cert, ok
}

// checkAnswer refuses what no CA sends (RFC 8555 sections 8.1 and 8.3).
func checkAnswer(a edge.Answer) error {
	thumb, ok := strings.CutPrefix(a.KeyAuth, a.Token+".")
	if !isBase64URL(a.Token, 16, 256) || !ok || !isBase64URL(thumb, 16, 256) {
		return fmt.Errorf("%w: token and key authorization do not look like a CA's", ErrAnswer)
	}
	id, err := edge.ParseIdentifier(a.Identifier.Value)
	if err != nil || id != a.Identifier || id.IsWildcard() {
		return fmt.Errorf("%w: %q is no identifier that can be validated here", ErrAnswer, a.Identifier.Value)
	}
	return nil
}

func isBase64URL(s string, least, most int) bool {
	if len(s) < least || len(s) > most {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// alpnName is the server name of a validation: for an address its reverse name
// (RFC 8738 section 6).
func alpnName(id edge.Identifier) string {
	if id.Type != edge.IP {
		return id.Value
	}
	ip := net.ParseIP(id.Value)
	if v4 := ip.To4(); v4 != nil {
		return fmt.Sprintf("%d.%d.%d.%d.in-addr.arpa", v4[3], v4[2], v4[1], v4[0])
	}
	var b strings.Builder
	for i := len(ip) - 1; i >= 0; i-- {
		fmt.Fprintf(&b, "%x.%x.", ip[i]&15, ip[i]>>4)
	}
	return b.String() + "ip6.arpa"
}

func alpnCertificate(a edge.Answer) (*tls.Certificate, error) {
	return acmez.TLSALPN01ChallengeCert(acme.Challenge{
		Type: string(a.Type), Token: a.Token, KeyAuthorization: a.KeyAuth,
		Identifier: acme.Identifier{Type: string(a.Identifier.Type), Value: a.Identifier.Value},
	})
}

// sniCertificate is self-signed, with zName as its only name. The name is too
// long for a common name.
func sniCertificate(zName string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "ACME challenge"}, DNSNames: []string{zName},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
