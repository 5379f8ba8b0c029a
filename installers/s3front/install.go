package s3front

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/kept"
)

// Target is a CloudFront distribution, whose certificate is in ACM.
type Target struct {
	o     *Options
	acm   acm
	front cloudfront
	dist  *distribution // as it was seen last
}

var _ delivery.Placed = (*Target)(nil)
var _ delivery.Patient = (*Target)(nil)

// NewTarget makes a target of a distribution.
func NewTarget(o Options) (*Target, error) {
	if !distributionForm.MatchString(o.Distribution) {
		return nil, fmt.Errorf("distribution %.40q is no id of CloudFront's; it looks like E1ABCDEF2GHIJK", o.Distribution)
	}
	if o.ARN != "" && !arnForm.MatchString(o.ARN) {
		return nil, fmt.Errorf("certificate_arn %.100q is no certificate of ACM in us-east-1; CloudFront takes no others", o.ARN)
	}
	creds := o.credentials()
	a, err := newService(&o, creds, "acm", "us-east-1", or(o.ACM, "https://acm.us-east-1.amazonaws.com"))
	if err != nil {
		return nil, err
	}
	f, err := newService(&o, creds, "cloudfront", "us-east-1", or(o.CloudFront, "https://cloudfront.amazonaws.com"))
	if err != nil {
		return nil, err
	}
	return &Target{o: &o, acm: acm{a}, front: cloudfront{f}}, nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// note is what a delivery remembers.
type note struct {
	ARN string `json:"arn"`
}

// Kind implements delivery.Target.
func (t *Target) Kind() string { return name }

// Where implements delivery.Target.
func (t *Target) Where() string { return t.o.Distribution }

// Settings implements delivery.Target.
func (t *Target) Settings() string { return t.o.Settings }

// Within implements delivery.Patient.
func (t *Target) Within() time.Duration { return t.o.Within }

// distribution fetches the distribution, or returns what was fetched last.
func (t *Target) distribution(ctx context.Context, anew bool) (*distribution, error) {
	if t.dist != nil && !anew {
		return t.dist, nil
	}
	d, err := t.front.get(ctx, t.o.Distribution)
	if err == nil {
		t.dist = d
	}
	return d, err
}

// Places implements delivery.Placed: CloudFront is asked for each of the distribution's
// names that the certificate is for, at its own address, so that DNS may still lead
// elsewhere.
func (t *Target) Places(ctx context.Context, m *delivery.Material, _ json.RawMessage) ([]installers.Endpoint, error) {
	d, err := t.distribution(ctx, false)
	if err != nil {
		return nil, err
	}
	at := t.o.At
	if at == nil {
		at = []installers.Endpoint{{Addr: net.JoinHostPort(d.DomainName, "443")}}
	}
	var list []installers.Endpoint
	for _, alias := range t.aliases(d, m.Certs[0]) {
		if rest, wild := strings.CutPrefix(alias, "*."); wild {
			alias = "edge-probe." + rest
		}
		for _, e := range at {
			e.Name = alias
			list = append(list, e)
		}
	}
	return list, nil
}

// maxAsked bounds the names that are asked for.
const maxAsked = 50

// aliases are the names of a distribution that a leaf is for.
func (t *Target) aliases(d *distribution, leaf *x509.Certificate) []string {
	var list []string
	for _, alias := range d.Config.Aliases {
		if covers(leaf, alias) {
			list = append(list, alias)
		}
	}
	return list[:min(len(list), maxAsked)]
}

// covers reports whether a leaf is for a name, which may be a wildcard.
func covers(leaf *x509.Certificate, host string) bool {
	if strings.HasPrefix(host, "*.") {
		return slices.ContainsFunc(leaf.DNSNames, func(n string) bool { return strings.EqualFold(n, host) })
	}
	return leaf.VerifyHostname(host) == nil
}

const (
	maxKey  = 5120    // bytes of PEM that ACM takes
	maxCert = 32768   // the same of the leaf
	maxRest = 2097152 // the same of the chain
)

// precheck refuses what ACM or CloudFront would refuse, or would break.
func precheck(m *delivery.Material) error {
	if err := m.Whole(); err != nil {
		return err
	}
	switch pub := m.Certs[0].PublicKey.(type) {
	case *rsa.PublicKey:
		if n := pub.N.BitLen(); n < 1024 || n > 4096 {
			return fmt.Errorf("CloudFront takes RSA keys of 1024 to 4096 bits, not of %d; get the certificate with key_type rsa2048", n)
		}
	case *ecdsa.PublicKey:
		if pub.Curve != elliptic.P256() {
			return fmt.Errorf("CloudFront takes no keys of %s; get the certificate with key_type p256 or rsa2048", pub.Curve.Params().Name)
		}
	default:
		return fmt.Errorf("CloudFront takes no keys of %s; get the certificate with key_type p256 or rsa2048", m.Certs[0].PublicKeyAlgorithm)
	}
	for what, is := range map[string][2]int{"key": {len(m.KeyPEM), maxKey}, "certificate": {len(m.CertPEM), maxCert}, "chain": {len(m.ChainPEM), maxRest}} {
		if is[0] > is[1] {
			return fmt.Errorf("the %s has %d bytes, ACM takes at most %d", what, is[0], is[1])
		}
	}
	return nil
}

// Look implements delivery.Target.
func (t *Target) Look(ctx context.Context, m *delivery.Material, data json.RawMessage) ([]string, error) {
	arn := noted(data)
	if arn == "" {
		return []string{"nobody knows which certificate of ACM it is"}, nil
	}
	d, err := t.distribution(ctx, true)
	if err != nil {
		return nil, err
	}
	var list []string
	if d.Config.Viewer.ACMCertificateArn != arn {
		list = append(list, fmt.Sprintf("distribution %s does not have the certificate %s", t.o.Distribution, arn))
	}
	has, err := t.acm.get(ctx, arn)
	switch {
	case errors.Is(err, errMissing):
		list = append(list, "ACM has no certificate "+arn)
	case err != nil:
		return nil, err
	case !has.is(m.Certs[0], m.ChainPEM):
		list = append(list, "ACM has another certificate as "+arn)
	}
	return list, nil
}

func noted(data json.RawMessage) string {
	var n note
	if json.Unmarshal(data, &n) != nil || !arnForm.MatchString(n.ARN) {
		return ""
	}
	return n.ARN
}

// Plan implements delivery.Target.
func (t *Target) Plan(ctx context.Context, m *delivery.Material) []string {
	if err := precheck(m); err != nil {
		return []string{"nothing can be planned: " + err.Error()}
	}
	d, err := t.distribution(ctx, false)
	if err != nil {
		return []string{"nothing can be planned: " + err.Error()}
	}
	has, err := t.find(ctx, d, m, "")
	if err != nil {
		return []string{"nothing can be planned: " + err.Error()}
	}
	var list []string
	arn := "the new certificate"
	switch {
	case has == nil:
		list = append(list, "import the certificate into ACM (us-east-1) as a new one")
	case !has.is(m.Certs[0], m.ChainPEM):
		list = append(list, "import the certificate into ACM in place of "+has.arn)
	}
	if has != nil {
		arn = has.arn
	}
	if has == nil || d.Config.Viewer.ACMCertificateArn != has.arn {
		list = append(list, fmt.Sprintf("have distribution %s show %s, with at least %s, and wait until it is deployed", t.o.Distribution, arn, t.o.MinProtocol))
	}
	for _, alias := range t.aliases(d, m.Certs[0]) {
		list = append(list, fmt.Sprintf("look whether %s shows it for %s", d.DomainName, alias))
	}
	return list
}

// find is the certificate of ACM in whose place this one goes, nil where there is none:
// the one of the settings, the one of the last delivery, the one that the distribution
// shows, or one with exactly the same names. But for the settings', it was imported here
// for the same lineage.
func (t *Target) find(ctx context.Context, d *distribution, m *delivery.Material, last string) (*stored, error) {
	leaf := m.Certs[0]
	if t.o.ARN != "" {
		has, err := t.acm.get(ctx, t.o.ARN)
		if err != nil {
			return nil, err
		}
		if why := instead(has.leaf, leaf); why != "" && !has.leaf.Equal(leaf) {
			return nil, fmt.Errorf("the certificate cannot take the place of %s in ACM: %s; leave certificate_arn out, a new one is made then", t.o.ARN, why)
		}
		return has, nil
	}
	candidates := []string{last, d.Config.Viewer.ACMCertificateArn}
	for i := 0; ; i++ {
		if i == len(candidates) {
			if i > 2 {
				return nil, nil
			}
			more, err := t.acm.like(ctx, leaf.DNSNames)
			if err != nil || len(more) == 0 {
				return nil, err
			}
			candidates = append(candidates, more...)
		}
		has, err := t.candidate(ctx, candidates[i], leaf, i > 1)
		if err != nil || has != nil {
			return has, err
		}
	}
}

// candidate is a certificate of ACM that was imported here for this lineage and in whose
// place a leaf may go; nil where it is another's.
func (t *Target) candidate(ctx context.Context, arn string, leaf *x509.Certificate, exactly bool) (*stored, error) {
	if !arnForm.MatchString(arn) {
		return nil, nil
	}
	ours, err := t.acm.ours(ctx, arn, t.o.Env.Name)
	if err != nil || !ours {
		return nil, err
	}
	has, err := t.acm.get(ctx, arn)
	switch {
	case errors.Is(err, errMissing):
		return nil, nil
	case err != nil:
		return nil, err
	case instead(has.leaf, leaf) != "" && !has.leaf.Equal(leaf):
		return nil, nil
	case exactly && !slices.Equal(nameSet(has.leaf.DNSNames), nameSet(leaf.DNSNames)):
		return nil, nil
	}
	return has, nil
}

// keptAs is where the pair is kept that was put under an ARN last.
func (t *Target) keptAs(arn string) *kept.File {
	return &kept.File{Dir: t.o.Env.State, Kind: name, Name: t.o.Env.Name, Where: arn, Durable: t.o.Env.Durable}
}
