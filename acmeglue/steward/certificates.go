package steward

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"edge/acmeglue/lineage"
	"edge/internal/certbotcli"
)

// Listed is one lineage in the JSON form of `certificates`.
type Listed struct {
	Name       string    `json:"name"`
	Serial     string    `json:"serial_number"` // hexadecimal
	KeyType    string    `json:"key_type"`      // RSA or ECDSA
	Names      []string  `json:"names"`
	NotBefore  time.Time `json:"not_before"`
	NotAfter   time.Time `json:"not_after"`
	Valid      bool      `json:"valid"`
	Problems   []string  `json:"problems,omitempty"` // TEST_CERT, EXPIRED, REVOKED
	Issuer     string    `json:"issuer"`
	SHA256     string    `json:"sha256"` // of the leaf
	FullChain  string    `json:"fullchain_path"`
	PrivateKey string    `json:"private_key_path"`
}

// listing is all of it.
type listing struct {
	Certificates []Listed  `json:"certificates"`
	Invalid      []Invalid `json:"invalid,omitempty"`
}

// Invalid is a lineage that cannot be used.
type Invalid struct {
	Conf  string `json:"renewal_configuration"`
	Error string `json:"error"`
}

// certificates lists lineages. It takes no locks and writes nothing.
func (s *Steward) certificates(ctx context.Context, o *certbotcli.Options) error {
	all, err := s.entries(ctx, o)
	if err != nil {
		return err
	}
	var list listing
	readable := false
	for n, e := range s.look(ctx, o, all) {
		if e.err != nil {
			conf := s.o.Tree.ConfPath(all[n].Name)
			s.o.Log.Warn(fmt.Sprintf("Renewal configuration file %s produced an unexpected error: %v. Skipping.", conf, e.err))
			list.Invalid = append(list.Invalid, Invalid{conf, detail(e.err)})
			continue
		}
		readable = true
		if e.wanted {
			list.Certificates = append(list.Certificates, e.Listed)
		}
	}
	if o.Output == "json" {
		if list.Certificates == nil {
			list.Certificates = []Listed{}
		}
		return s.printJSON(list)
	}
	if !s.o.AsCertbot {
		for n := range list.Invalid { // certbot has the reasons in its log alone
			list.Invalid[n].Conf += "\n    " + list.Invalid[n].Error
		}
	}
	s.o.Display.Listing(list.text(readable, o.CertName != "" || len(o.Domains)+len(o.IPs) > 0, s.o.Now()))
	return nil
}

// detail is an error about a lineage with its cause, where that says more.
func detail(err error) string {
	var broken *lineage.BrokenError
	if errors.As(err, &broken) && broken.Err != nil && broken.Err.Error() != broken.Problem {
		return broken.Detail()
	}
	return err.Error()
}

// entries are the lineages to look at. Called as certbot, that is all of them, since
// its listing has the broken ones in any case.
func (s *Steward) entries(ctx context.Context, o *certbotcli.Options) ([]lineage.Entry, error) {
	if o.CertName == "" || s.o.AsCertbot {
		return s.o.Tree.List(ctx)
	}
	l, err := s.o.Tree.Load(o.CertName)
	var none *lineage.NotFoundError
	if errors.As(err, &none) {
		return nil, nil
	}
	if err == nil {
		err = l.Check()
	}
	return []lineage.Entry{{Name: o.CertName, Lineage: l, Err: err}}, nil
}

// looked is a lineage with what is wrong with it, and whether it was asked for.
type looked struct {
	Listed
	wanted bool
	err    error
}

// look examines lineages, several at a time: nearly all of it is arithmetic.
func (s *Steward) look(ctx context.Context, o *certbotcli.Options, all []lineage.Entry) []looked {
	out := make([]looked, len(all))
	next := make(chan int)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for n := range next {
				out[n] = s.describeOne(ctx, o, all[n])
			}
		})
	}
	for n := range all {
		next <- n
	}
	close(next)
	wg.Wait()
	return out
}

func (s *Steward) describeOne(ctx context.Context, o *certbotcli.Options, e lineage.Entry) (out looked) {
	if out.err = e.Err; out.err != nil {
		return out
	}
	l := e.Lineage
	leaf, err := l.Leaf()
	if err != nil {
		return looked{err: err}
	}
	names, err := l.Names()
	if err != nil {
		return looked{err: err}
	}
	params, err := l.Params()
	if err != nil {
		return looked{err: err}
	}
	out.wanted = (o.CertName == "" || o.CertName == l.Name()) && contains(names, slices.Concat(o.Domains, o.IPs))
	if !out.wanted {
		return out // and no responder is asked about it
	}
	out.Listed = Listed{
		Name: l.Name(), Serial: leaf.SerialNumber.Text(16), KeyType: strings.ToUpper(keyTypeOf(leaf)), Names: names,
		NotBefore: leaf.NotBefore.UTC(), NotAfter: leaf.NotAfter.UTC(), Issuer: leaf.Issuer.CommonName, SHA256: sha256Of(leaf.Raw),
		FullChain: l.Path(lineage.FullChain), PrivateKey: l.Path(lineage.PrivKey),
	}
	if server := params.Server(); server != "" && isStaging(server) {
		out.Problems = append(out.Problems, "TEST_CERT")
	}
	if !leaf.NotAfter.After(s.o.Now()) {
		out.Problems = append(out.Problems, "EXPIRED")
	} else if s.revoked(ctx, l, leaf) {
		out.Problems = append(out.Problems, "REVOKED")
	}
	out.Valid = len(out.Problems) == 0
	return out
}

// revoked asks the responder, or remembers its answer.
func (s *Steward) revoked(ctx context.Context, l *lineage.Lineage, leaf *x509.Certificate) bool {
	if len(leaf.OCSPServer) == 0 {
		return false
	}
	known := s.cache.get(certificate{name: l.Name(), leaf: sha256Of(leaf.Raw)})
	if known.Revoked || fresh(known.AskResponder, s.o.Now()) {
		return known.Revoked
	}
	c, err := certificateOf(l)
	if err != nil {
		return false
	}
	s.askResponder(ctx, c, &known)
	return known.Revoked
}

func sha256Of(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// matches reports whether a key is that of a certificate.
func matches(leaf *x509.Certificate, public any) bool {
	switch have := leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		want, ok := public.(*rsa.PublicKey)
		return ok && have.Equal(want)
	case *ecdsa.PublicKey:
		want, ok := public.(*ecdsa.PublicKey)
		return ok && have.Equal(want)
	}
	return false
}

// text is certbot's listing.
func (l *listing) text(readable, filtered bool, now time.Time) string {
	if !readable && len(l.Invalid) == 0 {
		return "No certificates found."
	}
	var out []string
	if readable {
		matching := ""
		if filtered {
			matching = "matching "
		}
		var certs []string
		for _, c := range l.Certificates {
			certs = append(certs, c.text(now))
		}
		out = append(out, "Found the following "+matching+"certs:", strings.Join(certs, "\n"))
	}
	if len(l.Invalid) > 0 {
		out = append(out, "\nThe following renewal configurations were invalid:")
		var confs []string
		for _, i := range l.Invalid {
			confs = append(confs, i.Conf)
		}
		out = append(out, "  "+strings.Join(confs, "\n  "))
	}
	return strings.Join(out, "\n")
}

func (c *Listed) text(now time.Time) string {
	return fmt.Sprintf("  Certificate Name: %s\n    Serial Number: %s\n    Key Type: %s\n    Domains: %s\n    Expiry Date: %s (%s)\n"+
		"    Certificate Path: %s\n    Private Key Path: %s", c.Name, c.Serial, c.KeyType, strings.Join(c.Names, " "),
		c.NotAfter.Format("2006-01-02 15:04:05+00:00"), c.validity(now), c.FullChain, c.PrivateKey)
}

func (c *Listed) validity(now time.Time) string {
	if len(c.Problems) > 0 {
		return "INVALID: " + strings.Join(c.Problems, ", ")
	}
	left := c.NotAfter.Sub(now)
	switch days := int(left / (24 * time.Hour)); {
	case days == 1:
		return "VALID: 1 day"
	case days < 1:
		return "VALID: " + itoa(int(left/time.Hour)) + " hour(s)"
	default:
		return "VALID: " + itoa(days) + " days"
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
